"""Runs a checked script: a generator that yields questions and ends with a `Result`.

`Run` is what commands and tests get as ``run``: strings expanded, header fields, actions, state of
extensions, limits.  It touches nothing outside: whatever it must know it yields as a `Question`.
Whatever goes wrong, limits included, ends the run with the error told and an implicit keep; what
was already decided by then is dropped, for half a script is no filter.

Tests that ask nothing are evaluated by plain calls (`Run.test_now`, and without a trace by what
`quick` made of them), the others by generators (`Run.test`): all say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pillarbox.sieve import quick
from pillarbox.sieve.environment import Envelope, Environment
from pillarbox.sieve.errors import Diagnostic, SieveLimitError, SieveRunError
from pillarbox.sieve.limits import Limits
from pillarbox.sieve.message import HeaderField, Message
from pillarbox.sieve.nodes import Matching, Node, Text, Texts, VariableRef
from pillarbox.sieve.questions import EnvironmentItem, Now
from pillarbox.sieve.registry import Asking, Flow, TestSpec
from pillarbox.sieve.result import Action, Keep, Redirect, Result, TraceItem
from pillarbox.sieve.script import Script

State = TypeVar("State")

_CHECK_EVERY = 256  # steps between looks at the caller's budget


@dataclass(slots=True)
class Frame:
    """One script being run: its variables and what its last match found."""

    script: Script
    variables: dict[str, str] = field(default_factory=dict)
    matches: list[str] = field(default_factory=list)


class Run:
    """One run of a script for one message.  Start it with `execute`."""

    def __init__(
        self,
        script: Script,
        message: Message | bytes,
        envelope: Envelope | None = None,
        environment: Environment | None = None,
        limits: Limits | None = None,
        *,
        trace: bool = False,
        budget: Callable[[], bool] | None = None,
    ) -> None:
        self.script = script
        self.message = message if isinstance(message, Message) else Message(message)
        self.envelope = envelope or Envelope()
        self.environment = environment or Environment()
        self.limits = limits or script.limits
        self.tracing = trace
        self.budget = budget
        self.result = Result(script.name)
        self.frame = Frame(script)
        self.depth = 0  # of scripts included
        self.break_target: Any = None
        self.last_action: Action | None = None
        self.items: dict[str, str | None] = {}  # environment items that were asked for
        self.node: Node | None = None
        self._state: dict[type, Any] = {}
        self._now: Any = None
        self._indent = 0
        self._next_check = _CHECK_EVERY
        self._before_end: list[Callable[[Run], None]] = []
        self._on_add: list[Callable[[Run, Action], None]] = []

    # The run

    def execute(self) -> Asking[Result]:
        """Run the script to its end."""
        result = self.result
        try:
            yield from self.call(self.script)
            for hook in self._before_end:
                hook(self)
        except (SieveRunError, RecursionError) as error:
            self._failed(error)
        self._see_version()
        result.final_version = self.message.version
        return result

    def call(self, script: Script) -> Asking[Flow | None]:
        """Run a whole script in a frame of its own: the first one, or one that is included."""
        for name in script.environment_items:
            yield from self.environment_item(name)
        before, self.frame = self.frame, Frame(script)
        flow = yield from self.block(script.nodes)
        self.frame = before
        return None if flow is Flow.RETURN else flow

    def environment_item(self, name: str) -> Asking[str | None]:
        """An environment item, asked for once if the environment does not hold it."""
        known = self.environment.items.get(name)
        if known is not None:
            return known
        if name not in self.items:
            self.items[name] = yield EnvironmentItem(name)
        return self.items[name]

    def _failed(self, error: Exception) -> None:
        position = self.node.position if self.node is not None else None
        if isinstance(error, SieveRunError):
            text = error.message
            if error.position.line:
                position = error.position
        else:
            text = "the script is nested too deeply"
        line, column = position or (0, 0)
        result = self.result
        result.error = Diagnostic("error", self.frame.script.name, line, column, text)
        result.limited = isinstance(error, SieveLimitError)
        result.actions.clear()
        result.duplicates.clear()
        result.implicit_keep = True
        result.flags = None

    def block(self, nodes: Sequence[Node]) -> Asking[Flow | None]:
        """Run commands one after the other, until their end or a flow out of them."""
        for node in nodes:
            self.node = node
            self.spend(1)
            if node.name == "if":
                choose = None if self.tracing else quick.branches(node)
                if choose is None:
                    flow = yield from self._if(node)
                else:
                    chosen = choose(self)
                    flow = None if chosen is None else (yield from self.block(chosen))
            else:
                if self.tracing:
                    self.note(node, node.name)
                if node.spec.asks:
                    flow = yield from node.spec.run(self, node)  # type: ignore[union-attr]
                else:
                    flow = node.spec.run(self, node)  # type: ignore[union-attr]
                if node.asks and flow is None:
                    yield from self._ask_tags(node)
            if flow is not None:
                return flow
        return None

    def _ask_tags(self, node: Node) -> Asking[None]:
        for use in node.tags.values():
            if use.spec.asks and use.spec.apply is not None and self.last_action is not None:
                yield from use.spec.apply(self, node, use, self.last_action)

    def _if(self, node: Node) -> Asking[Flow | None]:
        for test, block, position in node.data:
            if test is not None:
                if self.tracing:
                    line, column = position
                    name = self.frame.script.name
                    self.result.trace.append(TraceItem(name, line, column, self._indent, "if"))
                self._indent += 1
                outcome = (
                    (yield from self.test(test))
                    if test.asks or self.tracing
                    else quick.test(test)(self)
                )
                self._indent -= 1
                if not outcome:
                    continue
            self._indent += 1
            flow = yield from self.block(block)
            self._indent -= 1
            return flow
        return None

    # Tests

    def test_now(self, node: Node) -> bool:
        """The outcome of a test that asks nothing."""
        self.node = node
        self.spend(1)
        name = node.name
        if name in ("allof", "anyof", "not"):
            return self._combine_now(node)
        spec = node.spec
        assert isinstance(spec, TestSpec)
        if spec.values is not None:
            values = spec.values(self, node)
            return self.matched(node, values, self.texts(node.texts(spec.keys)))
        assert spec.evaluate is not None
        outcome = bool(spec.evaluate(self, node))
        if self.tracing:
            self.note(node, name, outcome)
        return outcome

    def _combine_now(self, node: Node) -> bool:
        self._indent += 1
        if node.name == "not":
            outcome = not self.test_now(node.tests[0])
        elif node.name == "allof":
            outcome = all(self.test_now(test) for test in node.tests)
        else:
            outcome = any(self.test_now(test) for test in node.tests)
        self._indent -= 1
        if self.tracing:
            self.note(node, node.name, outcome)
        return outcome

    def test(self, node: Node) -> Asking[bool]:
        """The outcome of any test."""
        if not node.asks:
            return self.test_now(node)
        self.node = node
        self.spend(1)
        spec = node.spec
        assert isinstance(spec, TestSpec)
        if node.name in ("allof", "anyof", "not"):
            return (yield from self._combine(node))
        if spec.values is not None:
            values = yield from _called(spec.values, spec.asks, self, node)
            keys = self.texts(node.texts(spec.keys))
            return (yield from self.matching(node, values, keys))
        outcome = bool((yield from _called(spec.evaluate, spec.asks, self, node)))
        if self.tracing:
            self.note(node, node.name, outcome)
        return outcome

    def _combine(self, node: Node) -> Asking[bool]:
        self._indent += 1
        wanted = node.name == "anyof"  # the outcome of one test that settles it
        outcome = not wanted
        for test in node.tests:
            outcome = yield from self.test(test)
            if node.name == "not":
                outcome = not outcome
            elif outcome is wanted:
                break
        self._indent -= 1
        if self.tracing:
            self.note(node, node.name, outcome)
        return outcome

    def matched(self, node: Node, values: Sequence[str], keys: Sequence[str]) -> bool:
        """Whether a value matches a key in the way that the test's tags say."""
        matching = node.matching
        assert matching is not None
        kind = matching.type
        if kind.whole is not None:
            outcome = bool(kind.whole(self, node, values, keys))
        else:
            before = self.frame.matches
            outcome = self._search(matching, values, keys)
            if isinstance(node.spec, TestSpec) and not node.spec.captures:
                self.frame.matches = before
        if self.tracing:
            self._note_match(node, values, keys, outcome)
        return outcome

    def matching(self, node: Node, values: Sequence[str], keys: Sequence[str]) -> Asking[bool]:
        """As `matched`, for match types that may ask."""
        matching = node.matching
        assert matching is not None
        if not matching.type.asks:
            return self.matched(node, values, keys)
        outcome = bool((yield from matching.type.whole(self, node, values, keys)))  # type: ignore[misc]
        if self.tracing:
            self._note_match(node, values, keys, outcome)
        return outcome

    def _search(self, matching: Matching, values: Sequence[str], keys: Sequence[str]) -> bool:
        kind = matching.type
        assert kind.prepare is not None
        assert kind.search is not None
        prepared = matching.prepared
        if prepared is None:
            prepared = [kind.prepare(matching, key) for key in keys]
        for value in values:
            self.spend(1 + (len(prepared) >> 3))
            if kind.search(self, matching, value, prepared) >= 0:
                return True
        return False

    # Strings

    def text(self, text: Text) -> str:
        """A string with its variables filled in."""
        if text.constant is not None:
            return text.constant
        parts = [part if isinstance(part, str) else self.variable(part) for part in text.parts]
        whole = "".join(parts)
        if len(whole) > 2 * self.limits.variable_length:
            self.spend(len(whole) >> 10)
        return whole

    def texts(self, texts: Sequence[Text]) -> list[str]:
        """Strings with their variables filled in; the list must not be changed."""
        if isinstance(texts, Texts) and texts.constants is not None:
            return texts.constants
        return [t.constant if t.constant is not None else self.text(t) for t in texts]

    def variable(self, reference: VariableRef) -> str:
        """The value of a variable, "" if it has none (RFC 5229 section 3)."""
        if reference.namespace is not None:
            namespace = self.frame.script.namespaces[reference.namespace]
            return namespace.read(self, reference.name) or ""
        if reference.name.isdigit():
            number = int(reference.name)
            matches = self.frame.matches
            return matches[number] if number < len(matches) else ""
        return self.variables(reference.name).get(reference.name, "")

    def variables(self, name: str) -> dict[str, str]:
        """Where a variable lives: with its script, unless it was declared global (include)."""
        shared = self._state.get(GlobalVariables)
        if shared is not None and name in shared.of(self.frame.script):
            return shared.values  # type: ignore[no-any-return]
        return self.frame.variables

    @property
    def wants_matches(self) -> bool:
        """Whether anybody may read what wildcards matched."""
        return self.frame.script.uses_matches

    def set_matches(self, values: list[str]) -> None:
        """Remember what wildcards matched, for ${0}, ${1} …"""
        most = self.limits.variable_length
        values = values[: self.limits.match_values + 1]
        self.frame.matches = [v if len(v) <= most else v[:most] for v in values]

    # Header fields

    def fields(self, node: Node, name: str) -> list[HeaderField]:
        """The fields of that name which the test's tags let it see."""
        found = self.message.fields(name)
        for use in node.filters:
            assert use.spec.fields is not None
            found = use.spec.fields(self, node, use, name, found)
        return found

    # Actions

    def add(self, action: Action, node: Node) -> Action:
        """Add an action to the result; tags of other extensions are applied to it first."""
        result = self.result
        action.script = self.frame.script.name
        action.line, action.column = node.position
        action.version = self.message.version
        self._see_version()
        for use in node.tags.values():
            if use.spec.apply is not None and not use.spec.asks:
                use.spec.apply(self, node, use, action)
        for hook in self._on_add:
            hook(self, action)
        self.last_action = action
        if action.cancels_keep:
            result.implicit_keep = False
        for index, other in enumerate(result.actions):
            if action.same(other):
                if not action.copy:
                    other.copy = False
                self._newer(index, action)
                return action
            problem = action.conflict(other) or other.conflict(action)
            if problem is not None:
                raise SieveRunError(problem, node.position)
        self._count(action)
        result.actions.append(action)
        return action

    def _newer(self, index: int, action: Action) -> None:
        """The same action again: it is done once, with what was said last."""
        other = self.result.actions[index]
        flags = getattr(action, "flags", None)
        if flags is not None:
            other.flags = flags  # type: ignore[attr-defined]
        if getattr(action, "create", False):
            other.create = True  # type: ignore[attr-defined]
        other.options.update(action.options)

    def _count(self, action: Action) -> None:
        actions = self.result.actions
        if self.limits.actions and len(actions) >= self.limits.actions:
            raise SieveLimitError(f"total number of actions exceeds policy limit ({len(actions)})")
        if isinstance(action, Redirect) and self.limits.redirects is not None:
            redirects = sum(isinstance(other, Redirect) for other in actions)
            if redirects >= self.limits.redirects:
                raise SieveLimitError(
                    "number of redirect actions exceeds policy limit "
                    f"({redirects + 1} > {self.limits.redirects})"
                )

    def keep(self, node: Node) -> Action:
        """The keep action."""
        return self.add(Keep(), node)

    def _see_version(self) -> None:
        version = self.message.version
        if version not in self.result.versions:
            self.result.versions[version] = self.message.snapshot()

    # What else commands use

    def state(self, kind: type[State]) -> State:
        """The one object of that class in this run, made when first asked for."""
        found = self._state.get(kind)
        if found is None:
            found = self._state[kind] = kind()
        return found

    def at_end(self, hook: Callable[[Run], None]) -> None:
        """Call this when the script has ended well."""
        self._before_end.append(hook)

    def on_add(self, hook: Callable[[Run, Action], None]) -> None:
        """Call this with every action from now on, before it is added."""
        self._on_add.append(hook)

    def now(self) -> Asking[Any]:
        """The time, as an aware datetime, the same for the whole run."""
        if self._now is None:
            self._now = yield Now()
        return self._now

    def spend(self, steps: int) -> None:
        """Count work; SieveLimitError if it was too much."""
        result = self.result
        result.steps += steps
        if result.steps >= self._next_check:
            self._next_check = result.steps + _CHECK_EVERY
            if self.limits.steps and result.steps > self.limits.steps:
                raise SieveLimitError("execution exceeded the limit of steps")
            self.look_at_budget()

    def look_at_budget(self) -> None:
        """Before work that may take long; SieveLimitError if there is no time left."""
        if self.budget is not None and not self.budget():
            raise SieveLimitError("execution exceeded the CPU time limit")

    def warn(self, message: str, node: Node | None = None) -> None:
        """Tell the owner of the script something, and go on."""
        node = node or self.node
        line, column = node.position if node is not None else (0, 0)
        name = self.frame.script.name
        self.result.log.append(Diagnostic("warning", name, line, column, message))

    def note(self, node: Node, what: str, outcome: bool | None = None, detail: str = "") -> None:
        """Add to the trace."""
        self.result.trace.append(
            TraceItem(
                self.frame.script.name, *node.position, self._indent, what, outcome, detail=detail
            )
        )

    def _note_match(
        self, node: Node, values: Sequence[str], keys: Sequence[str], outcome: bool
    ) -> None:
        name = self.frame.script.name
        kind = f"{node.name} :{node.matching.type.name}" if node.matching else node.name
        self.result.trace.append(
            TraceItem(name, *node.position, self._indent, kind, outcome, tuple(values), tuple(keys))
        )


class GlobalVariables:
    """Variables shared by the scripts of one run (RFC 6609 section 3.4)."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self._declared: dict[int, set[str]] = {}

    def of(self, script: Script) -> set[str]:
        """The names that a script has declared global."""
        return self._declared.setdefault(id(script), set())


def _called(function: Any, asks: bool, run: Run, node: Node) -> Asking[Any]:
    if asks:
        return (yield from function(run, node))
    return function(run, node)
