"""A tree of commands as the text of a script, in one canonical form.

Parsing what this prints gives an equal tree, which is how the parser is tested.  Numbers are
printed without quantifiers, strings quoted, blocks indented by two blanks.
"""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.sieve.ast import Argument, Command, Number, String, StringList, Tag, Test


def quote(text: str) -> str:
    """Text as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def print_script(commands: Sequence[Command], indent: str = "") -> str:
    """The commands, each on lines of its own."""
    return "".join(_command(command, indent) for command in commands)


def _command(command: Command, indent: str) -> str:
    head = indent + _head(command)
    if command.block is None:
        return head + ";\n"
    return f"{head} {{\n{print_script(command.block, indent + '  ')}{indent}}}\n"


def _head(node: Command | Test) -> str:
    words = [node.name, *(_argument(argument) for argument in node.arguments)]
    tests = [_head(test) for test in node.tests]
    if node.test_list:
        words.append("(" + ", ".join(tests) + ")")
    else:
        words += tests
    return " ".join(words)


def _argument(argument: Argument) -> str:
    match argument:
        case Number(value):
            return str(value)
        case String(text):
            return quote(text)
        case StringList(items):
            return "[" + ", ".join(quote(item.value) for item in items) + "]"
        case Tag(name):
            return ":" + name
