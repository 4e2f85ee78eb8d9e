"""Tokens to a tree of commands (RFC 5228 section 8.2).

`parse` never raises.  After an error it skips to the next semicolon or the end of the block and
goes on, so that one run tells several errors.  The trick against one fault told twice: whatever
is skipped is skipped with its brackets and blocks in pairs.
"""

from __future__ import annotations

from pillarbox.sieve.ast import Argument, Command, Number, String, StringList, Tag, Test
from pillarbox.sieve.errors import Diagnostics
from pillarbox.sieve.lexer import END, IDENTIFIER, NUMBER, STRING, TAG, Lexer, Token
from pillarbox.sieve.limits import DEFAULT, Limits


def parse(source: str, diagnostics: Diagnostics, limits: Limits = DEFAULT) -> list[Command]:
    """The commands of a script; what is wrong with it goes to the diagnostics."""
    lexer = Lexer(source, diagnostics)
    tokens = lexer.tokens()
    return _Parser(tokens, diagnostics, limits, lexer.finished).script()


class _Lost(Exception):
    """The rest of a command cannot be read; the error is already told."""


class _Parser:
    def __init__(
        self, tokens: list[Token], diagnostics: Diagnostics, limits: Limits, finished: bool
    ) -> None:
        self.tokens = tokens
        self.finished = finished  # else the early end of the script is told already
        self.at = 0
        self.diagnostics = diagnostics
        self.limits = limits

    def script(self) -> list[Command]:
        commands = self.commands(0)
        while self.tokens[self.at].kind != END:  # a brace too many
            self.fail(self.tokens[self.at], "a command")
            self.at += 1
            commands += self.commands(0)
        return commands

    def commands(self, depth: int) -> list[Command]:
        found: list[Command] = []
        while True:
            token = self.tokens[self.at]
            if token.kind == END or token.kind == "}":
                return found
            try:
                found.append(self.command(depth))
            except _Lost:
                self.recover()

    def command(self, depth: int) -> Command:
        name = self.tokens[self.at]
        if name.kind != IDENTIFIER:
            self.fail(name, "a command name")
            raise _Lost
        self.at += 1
        arguments = self.arguments()
        tests, listed = self.tests(0)
        token = self.tokens[self.at]
        block: list[Command] | None = None
        if token.kind == ";":
            self.at += 1
        elif token.kind == "{":
            block = self.block(depth + 1)
        else:
            self.fail(token, "';' or a block")
            raise _Lost
        return Command(str(name.value), arguments, tests, listed, block, name.position)

    def block(self, depth: int) -> list[Command]:
        opening = self.tokens[self.at]
        if depth > self.limits.block_nesting:
            self.diagnostics.error(
                opening.position, f"blocks are nested deeper than {self.limits.block_nesting}"
            )
            raise _Lost
        self.at += 1
        commands = self.commands(depth)
        if self.tokens[self.at].kind == "}":
            self.at += 1
        elif self.finished:
            self.diagnostics.error(
                self.tokens[self.at].position,
                f"end of script before the end of the block opened in line {opening.position.line}",
            )
        return commands

    def arguments(self) -> list[Argument]:
        found: list[Argument] = []
        while True:
            token = self.tokens[self.at]
            if token.kind == STRING:
                found.append(String(str(token.value), token.position))
            elif token.kind == TAG:
                found.append(Tag(str(token.value), token.position))
            elif token.kind == NUMBER:
                found.append(Number(int(token.value), token.position))
            elif token.kind == "[":
                found.append(self.string_list())
                continue
            else:
                return found
            self.at += 1

    def string_list(self) -> StringList:
        opening = self.tokens[self.at]
        items: list[String] = []
        while True:
            self.at += 1
            token = self.tokens[self.at]
            if token.kind != STRING:
                self.fail(token, "a string in the list")
                raise _Lost
            items.append(String(str(token.value), token.position))
            self.at += 1
            token = self.tokens[self.at]
            if token.kind == "]":
                self.at += 1
                break
            if token.kind != ",":
                self.fail(token, "',' or ']' in the list")
                raise _Lost
        if len(items) > self.limits.string_list:
            self.diagnostics.error(
                opening.position, f"the list has more than {self.limits.string_list} strings"
            )
        return StringList(items, opening.position)

    def tests(self, depth: int) -> tuple[list[Test], bool]:
        token = self.tokens[self.at]
        if token.kind == IDENTIFIER:
            return [self.test(depth + 1)], False
        if token.kind != "(":
            return [], False
        found: list[Test] = []
        while True:
            self.at += 1
            found.append(self.test(depth + 1))
            token = self.tokens[self.at]
            if token.kind == ")":
                self.at += 1
                return found, True
            if token.kind != ",":
                self.fail(token, "',' or ')' in the list of tests")
                raise _Lost

    def test(self, depth: int) -> Test:
        name = self.tokens[self.at]
        if name.kind != IDENTIFIER:
            self.fail(name, "a test name")
            raise _Lost
        if depth > self.limits.test_nesting:
            self.diagnostics.error(
                name.position, f"tests are nested deeper than {self.limits.test_nesting}"
            )
            raise _Lost
        self.at += 1
        arguments = self.arguments()
        tests, listed = self.tests(depth)
        return Test(str(name.value), arguments, tests, listed, name.position)

    def fail(self, token: Token, expected: str) -> None:
        if token.kind == END and not self.finished:
            return
        if token.kind in (IDENTIFIER, TAG):
            colon = ":" if token.kind == TAG else ""
            got = f"{token.kind} '{colon}{token.value}'"
        elif token.kind == END:
            got = "end of script"
        elif token.kind in (STRING, NUMBER):
            got = f"a {token.kind}"
        else:
            got = f"'{token.value}'"
        self.diagnostics.error(token.position, f"expected {expected}, but found {got}")

    def recover(self) -> None:
        """Skip to behind the next semicolon or block, or to the end of this block."""
        depth = 0
        while True:
            kind = self.tokens[self.at].kind
            if kind == END:
                return
            if kind == "{":
                depth += 1
            elif kind == "}":
                if depth == 0:
                    return
                depth -= 1
                if depth == 0:
                    self.at += 1
                    return
            elif kind == ";" and depth == 0:
                self.at += 1
                return
            self.at += 1
