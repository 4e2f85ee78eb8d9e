"""How much a script may be, do and cost.

Exceeding a limit of the first group is an error of compiling; exceeding one of the second ends
the run with an implicit keep, so that no message is lost.  Zero means no limit for ``actions``,
``redirects`` and ``steps``; ``redirects`` of zero forbids redirecting as `sieve_max_redirects`
does, and None lifts it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one compilation and run."""

    script_size: int = 1024 * 1024  # octets
    block_nesting: int = 32
    test_nesting: int = 32
    errors: int = 50  # told per file
    string_list: int = 10_000  # strings in one list
    variables: int = 255  # per script, and global ones
    variable_name: int = 64  # characters
    match_values: int = 32  # ${0} … ${32}
    regex_states: int = 4_000  # size of a compiled expression

    actions: int = 32
    redirects: int | None = 4
    includes: int = 255  # scripts in one run
    include_depth: int = 10
    variable_length: int = 4_000  # characters; longer values are cut, as RFC 5229 wants
    steps: int = 1_000_000  # commands, tests and comparisons
    regex_effort: int = 4_000_000  # steps of one regular expression on one value
    body_size: int = 16 * 1024 * 1024  # octets of decoded text that one test looks at
    header_edits: int = 500  # editheader's changes in one run


DEFAULT = Limits()
