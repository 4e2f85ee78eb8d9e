"""SQL query templates: ``SELECT … WHERE username = '%{user}'`` becomes a bound parameter.

Administrators write variables into queries the way Dovecot's manual shows it, mostly between
quotes.  Here nothing is ever pasted: a string literal that holds a variable, or a variable that
stands alone, becomes a placeholder, and its text is expanded and bound.  So ``'%{user}'``,
``%{user}`` and ``'%{user | username}@example.com'`` are all safe for any user name.  In double
quotes MySQL sees a string too, others a name, in which no variable can stand.

Shared by the sql drivers of passdb and userdb.  A row gives fields by column name; NULL means
absent, numbers become decimal text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pillarbox.drivers.sql.api import Row, Sql
from pillarbox.settings.variables import expand

_VARIABLE: Final = r"%\{(?:[^}'\"]|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")*\}"
_TOKEN: Final = re.compile(
    rf"(?P<literal>'(?:{_VARIABLE}|''|[^'])*')"
    rf'|(?P<identifier>"(?:{_VARIABLE}|""|[^"])*")'
    r"|(?P<comment>--[^\n]*|/\*.*?\*/)"
    rf"|(?P<variable>{_VARIABLE})",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class UserQuery:
    """A query in the database's syntax, and a template for each of its parameters."""

    sql: str
    parameters: tuple[str, ...]

    def bind(self, values: Mapping[str, object]) -> tuple[str, ...]:
        """The parameters for these variables.  Raises settings.variables.VariableError."""
        return tuple(expand(template, values) for template in self.parameters)


def compile_query(template: str, database: Sql) -> UserQuery:
    """Find the variables of a template and put placeholders in their place."""
    parameters: list[str] = []
    strings = ("literal", "identifier") if database.name == "mysql" else ("literal",)

    def replace(found: re.Match[str]) -> str:
        if found.lastgroup in strings and "%{" in found[0]:
            quote = found[0][0]
            parameters.append(found[0][1:-1].replace(quote * 2, quote))
        elif found["variable"] is not None:
            parameters.append(found["variable"])
        else:
            return found[0]
        return database.placeholder(len(parameters))

    return UserQuery(_TOKEN.sub(replace, template), tuple(parameters))


def fields_of(row: Row) -> dict[str, str]:
    """A row's columns as fields; NULL columns are left out."""
    return {
        name: value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
        for name, value in row.items()
        if value is not None
    }
