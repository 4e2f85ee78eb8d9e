"""A tree of commands to a checked script: every name bound, every argument of the right kind.

Errors are gathered, never raised.  What each command and test wants of its arguments beyond
their kinds is said by its own ``validate`` function (see `registry`), which speaks to the
`Validator` given to it.

ihave (RFC 5463) needs one trick: a test whose outcome is settled by capabilities that are not
there has ``known`` set, and what could only run if it were otherwise is dropped unchecked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pillarbox.sieve.arguments import bind
from pillarbox.sieve.ast import Command, Position, String, StringList, Test
from pillarbox.sieve.errors import Diagnostics
from pillarbox.sieve.limits import Limits
from pillarbox.sieve.nodes import Branch, Node, Text, VariableRef
from pillarbox.sieve.registry import CommandSpec
from pillarbox.sieve.scope import LanguageScope
from pillarbox.sieve.strings import decode_encoded, split_references

_CHAIN = ("elsif", "else")
_ENDS = ("stop", "return", "error")


class Validator:
    """Checks one script.  ``data`` is where extensions keep what they learn on the way."""

    def __init__(
        self, diagnostics: Diagnostics, scope: LanguageScope, limits: Limits, location: str = ""
    ) -> None:
        self.diagnostics = diagnostics
        self.limits = limits
        self.location = location  # "personal", "global" or what the caller calls it
        self.scope = scope
        self.data: dict[str, Any] = {}
        self.enclosing: list[Node] = []  # commands whose block is being checked, outermost first
        self.position = Position(0, 0)  # of the command being checked
        self._unknown: set[str] = set()
        self._ended = False  # the rest of the block cannot run, by an ihave

    # What validate functions use

    def error(self, position: Position, message: str) -> None:
        """Refuse the script."""
        self.diagnostics.error(position, message)

    def warning(self, position: Position, message: str) -> None:
        """Remark on the script."""
        self.diagnostics.warning(position, message)

    def enabled(self, capability: str) -> bool:
        """Whether the script required it."""
        return capability in self.scope.capabilities

    def enable(self, capability: str) -> None:
        """As require does, for a capability that is known to be supported."""
        for extension in self.scope.enable(capability):
            if extension.required is not None:
                extension.required(self)

    # The walk

    def script(self, commands: Sequence[Command]) -> list[Node]:
        """The checked commands of a whole script."""
        start = 0
        while start < len(commands) and commands[start].name == "require":
            self._require(commands[start])
            start += 1
        return self.block(commands[start:])

    def block(self, commands: Sequence[Command]) -> list[Node]:
        """The checked commands of a block."""
        found: list[Node] = []
        chain: Node | None = None
        settled = False
        self._ended = False
        for command in commands:
            if command.name == "if":
                chain = self._command(command)
                settled = False
                if chain is not None:
                    chain.data = []
                    found.append(chain)
                settled = self._branch(command, chain, settled)
            elif command.name in _CHAIN:
                if chain is None:
                    self.error(
                        command.position,
                        f"the {command.name} command must follow an if or elsif command",
                    )
                settled = self._branch(command, chain, settled)
                if command.name == "else":
                    chain = None
            else:
                chain = None
                if command.name == "require":
                    self.error(
                        command.position,
                        "require commands can only be placed at top level at the beginning "
                        "of the file",
                    )
                    continue
                node = self._command(command)
                if node is not None:
                    found.append(node)
            if self._ended:
                break
        self._ended = False
        return found

    def _command(self, command: Command) -> Node | None:
        spec = self.scope.commands.get(command.name)
        self.position = command.position
        if spec is None:
            self._tell_unknown("command", command.name, command.position)
            return None
        if command.name == "if":
            return Node("if", command.position, spec, asks=True)
        errors = self.diagnostics.errors
        node = bind(self, command, spec)
        sound = self.diagnostics.errors == errors
        node.tests = self._tests(command, spec)
        if spec.block:
            if command.block is None:
                self.error(command.position, f"the {spec.name} command needs a block")
            else:
                self.enclosing.append(node)
                node.block = self.block(command.block)
                self.enclosing.pop()
        elif command.block is not None:
            self.error(command.position, f"the {spec.name} command takes no block")
        node.asks = spec.asks or any(use.spec.asks for use in node.tags.values())
        if spec.validate is not None and sound:
            spec.validate(self, node)
        return node

    def _branch(self, command: Command, chain: Node | None, settled: bool) -> bool:
        """Add one of if, elsif, else to its chain; whether an earlier one surely runs."""
        if settled:
            return True
        if command.arguments:
            self.error(command.position, f"the {command.name} command takes no arguments")
        tests = self._tests(command, self.scope.commands[command.name])
        test = tests[0] if tests else None
        known = test.known if test is not None else (True if command.name == "else" else None)
        if command.block is None:
            self.error(command.position, f"the {command.name} command needs a block")
            return False
        if known is False:
            return False
        block = self.block(command.block)
        if chain is not None:
            chain.data.append(Branch(None if known else test, block, command.position))
        if known and command.name != "else" and block and block[-1].name in _ENDS:
            self._ended = True
        return bool(known)

    def _tests(self, command: Command, spec: CommandSpec) -> list[Node]:
        if not spec.test:
            if command.tests:
                self.error(command.position, self._no_test(command))
            return []
        if command.test_list or len(command.tests) != 1:
            self.error(command.position, f"the {spec.name} command needs one test")
            return []
        node = self.test(command.tests[0])
        return [] if node is None else [node]

    def _no_test(self, command: Command) -> str:
        """What is wrong with a test behind a command that takes none."""
        found = command.tests[0].name
        if command.name == "else":
            hint = ": elsif does" if found == "if" else ""
            return f"the else command takes no test{hint}"
        if not command.test_list and found in self.scope.commands:
            return f"missing ';' after the {command.name} command"
        return f"the {command.name} command takes no test"

    def test(self, test: Test) -> Node | None:
        """A checked test; None if there is no such test."""
        spec = self.scope.tests.get(test.name)
        if spec is None:
            self._tell_unknown("test", test.name, test.position)
            return None
        errors = self.diagnostics.errors
        node = bind(self, test, spec)
        sound = self.diagnostics.errors == errors
        count = len(test.tests)
        if spec.tests == 0 and count and not test.test_list:
            found = test.tests[0]
            self.error(
                found.position,
                f"expected the end of the {spec.name} test, but found '{found.name[:80]}'",
            )
            return None
        if spec.tests == 0 and count:
            self.error(test.position, f"the {spec.name} test takes no tests")
        elif spec.tests == 1 and (count != 1 or test.test_list):
            self.error(test.position, f"the {spec.name} test needs one test")
        elif spec.tests is None and not test.test_list:
            self.error(test.position, f"the {spec.name} test needs a list of tests")
        node.tests = self._nested(test, node)
        node.asks = spec.asks or any(child.asks for child in node.tests)
        if node.matching is not None:
            node.asks = node.asks or node.matching.type.asks
        if spec.validate is not None and sound:
            spec.validate(self, node)
        return node

    def _nested(self, test: Test, node: Node) -> list[Node]:
        found: list[Node] = []
        for item in test.tests:
            child = self.test(item)
            if child is None:
                continue
            found.append(child)
            if child.known is None:
                continue
            if test.name == "not":
                node.known = not child.known
            elif child.known is (test.name == "anyof"):
                node.known = child.known  # the others do not matter
                break
        else:
            if test.name in ("allof", "anyof") and found and None not in [c.known for c in found]:
                node.known = test.name == "allof"
        return found

    # Names and strings

    def _require(self, command: Command) -> None:
        names: list[String] = []
        for argument in command.arguments:
            match argument:
                case String():
                    names.append(argument)
                case StringList(items):
                    names += items
                case _:
                    names = []
                    break
        if len(command.arguments) != 1 or not names:
            self.error(command.position, "the require command takes one string list")
        if command.tests or command.block is not None:
            self.error(
                command.position,
                "the require command takes no block"
                if not command.tests
                else self._no_test(command),
            )
        for name in names:
            self._require_one(name)

    def _require_one(self, name: String) -> None:
        if name.value in ("comparator-i;octet", "comparator-i;ascii-casemap"):
            return
        if self.scope.supports(name.value):
            self.enable(name.value)
        else:
            shown = name.value[:128]
            self.error(name.position, f"require command: unknown Sieve capability `{shown}'")

    def _tell_unknown(self, kind: str, name: str, position: Position) -> None:
        if f"{kind} {name}" in self._unknown:
            return
        self._unknown.add(f"{kind} {name}")
        capability = self.scope.bringing(kind, name)
        hint = f' (it needs require "{capability}")' if capability else ""
        if not hint:
            other = self.scope.tests if kind == "command" else self.scope.commands
            if name in other:
                hint = f" (there is a {'test' if kind == 'command' else 'command'} of that name)"
        self.error(
            position, f"unknown {kind} '{name}'{hint} (only reported once at first occurrence)"
        )

    def text(self, string: String) -> Text:
        """A string literal with its encoded characters decoded and its variables found."""
        value = string.value
        if "${" in value:
            if self.enabled("encoded-character"):
                try:
                    value = decode_encoded(value)
                except ValueError as error:
                    self.error(string.position, str(error))
            if self.enabled("variables"):
                return self._with_variables(value, string)
        return Text(value, (), string.position)

    def _with_variables(self, value: str, string: String) -> Text:
        parts = split_references(value)
        for part in parts:
            if isinstance(part, VariableRef):
                self.reference(part, string.position)
        if len(parts) == 1 and isinstance(parts[0], str):
            return Text(parts[0], (), string.position)
        return Text(None, parts, string.position)

    def reference(self, reference: VariableRef, position: Position) -> None:
        """Check a variable that a string names."""
        if reference.namespace is None:
            if reference.name.isdigit() and (
                len(reference.name) > 4 or int(reference.name) > self.limits.match_values
            ):
                self.error(position, f"match value index {reference.name[:20]} is out of range")
            elif len(reference.name) > self.limits.variable_name:
                self.error(position, f"the variable name '{reference.name[:64]}…' is too long")
            return
        namespace = self.scope.namespaces.get(reference.namespace)
        if namespace is None:
            self.error(position, f"unknown variable namespace '{reference.namespace}'")
        elif namespace.check is not None:
            problem = namespace.check(self, reference)
            if problem is not None:
                self.error(position, problem)
