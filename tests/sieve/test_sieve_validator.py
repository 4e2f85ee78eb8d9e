"""What compiling refuses, where, and in which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pillarbox.sieve.limits import Limits
from pillarbox.sieve.script import compile

Problems = Callable[..., list[str]]
NO_FILEINTO = (
    "1:1 unknown command 'fileinto' (it needs require \"fileinto\")"
    " (only reported once at first occurrence)"
)
ONCE = " (only reported once at first occurrence)"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('require "nonsense";', ["1:9 require command: unknown Sieve capability `nonsense'"]),
        ('require ["a", "b"];', ["1:10 require command: unknown Sieve capability `a'",
                                 "1:15 require command: unknown Sieve capability `b'"]),
        ('require "FileInto";', ["1:9 require command: unknown Sieve capability `FileInto'"]),
        ('require ["comparator-i;octet", "comparator-i;ascii-casemap"];', []),
        ("require;", ["1:1 the require command takes one string list"]),
        ("require 1;", ["1:1 the require command takes one string list"]),
        ('keep; require "copy";', ["1:7 require commands can only be placed at top level at the "
                                   "beginning of the file"]),
        ('if true { require "copy"; }', ["1:11 require commands can only be placed at top level "
                                         "at the beginning of the file"]),
        ('fileinto "x";', [NO_FILEINTO]),
        ('fileinto "x"; fileinto "y";',
         [NO_FILEINTO]),
        ("frop;", [f"1:1 unknown command 'frop'{ONCE}"]),
        ("true;", [f"1:1 unknown command 'true' (there is a test of that name){ONCE}"]),
        ("if frop {}", [f"1:4 unknown test 'frop'{ONCE}"]),
        ("if keep {}", [f"1:4 unknown test 'keep' (there is a command of that name){ONCE}"]),
        ('if body "x" {}', [f"1:4 unknown test 'body' (it needs require \"body\"){ONCE}"]),
        ("else {}", ["1:1 the else command must follow an if or elsif command"]),
        ("elsif true {}", ["1:1 the elsif command must follow an if or elsif command"]),
        ("if true {} keep; else {}", ["1:18 the else command must follow an if or elsif command"]),
        ("if true {} else {} else {}",
         ["1:20 the else command must follow an if or elsif command"]),
        ("if true;", ["1:1 the if command needs a block"]),
        ("if {}", ["1:1 the if command needs one test"]),
        ("if (true, false) {}", ["1:1 the if command needs one test"]),
        ("if true {} else true {}", ["1:12 the else command takes no test"]),
        ('if "x" true {}', ["1:1 the if command takes no arguments"]),
        ("keep {}", ["1:1 the keep command takes no block"]),
        ("keep true;", ["1:1 the keep command takes no test"]),
        ("keep 1;", ["1:1 the keep command expects 0 positional arguments, but 1 were found"]),
        ("keep :x;", ["1:6 unknown tagged argument ':x' for the keep command"]),
        ("stop 1;", ["1:1 the stop command expects 0 positional arguments, but 1 were found"]),
        ("redirect;",
         ["1:1 the redirect command expects 1 positional arguments, but 0 were found"]),
        ("redirect 1;", ["1:10 the redirect command expects a string as argument 1 (address), "
                         "but a number was found"]),
        ('redirect ["a@b.c"];', ["1:10 the redirect command expects a string as argument 1 "
                                 "(address), but a string list was found"]),
        ('redirect "nobody";', ["1:10 specified redirect address 'nobody' is invalid"]),
        ('redirect "a@b, c@d";', ["1:10 specified redirect address 'a@b, c@d' is invalid"]),
        ('redirect :copy "a@b.c";', ["1:10 unknown tagged argument ':copy' for the redirect "
                                     'command (it needs require "copy")']),
        ('require "fileinto"; fileinto :flags "x" "y";',
         ["1:30 unknown tagged argument ':flags' for the fileinto command "
          '(it needs require "imap4flags")',
          "1:21 the fileinto command expects 1 positional arguments, but 2 were found"]),
        ("if not {}", ["1:4 the not test needs one test"]),
        ("if not (true) {}", ["1:4 the not test needs one test"]),
        ("if allof true {}", ["1:4 the allof test needs a list of tests"]),
        ("if true (false) {}", ["1:4 the true test takes no tests"]),
        ("if anyof (true false) {}",
         ["1:16 expected the end of the true test, but found 'false'"]),
        ("if true\n  keep;", ["1:1 the if command needs a block",
                              "2:3 expected the end of the true test, but found 'keep'"]),
        ('if header :is subject "x" {}',
         ["1:15 expected the end of the header test, but found 'subject'",
          "1:4 the header test expects 2 positional arguments, but 0 were found"]),
        ("keep\ndiscard;", ["1:1 missing ';' after the keep command"]),
        ('require "copy"\nkeep;', ["1:1 missing ';' after the require command"]),
        ('require "copy" {}', ["1:1 the require command takes no block"]),
        ("if true {} else if true {}", ["1:12 the else command takes no test: elsif does"]),
        ("if size 1 {}", ["1:4 the size test requires either the :over or the :under tag"]),
        ("if size :over :under 1 {}",
         ["1:15 the size test has the comparison ':under' besides ':over'; only one is allowed"]),
        ('if size :over "1" {}', ["1:15 the size test expects a number as argument 1 (limit), but "
                                  "a string was found"]),
        ("if size :over -1 {}", ["1:15 unexpected character '-'"]),
        ('if header "a" {}',
         ["1:4 the header test expects 2 positional arguments, but 1 were found"]),
        ('require "vacation"; vacation :from "a@b.example\r\nX: y" "c";',
         ["1:30 specified :from address 'a@b.example\r\nX: y' is invalid for vacation"]),
        ('if header :is :is "a" "b" {}',
         ["1:15 encountered duplicate tagged argument ':is' for the header test"]),
        ('if header :is :contains "a" "b" {}',
         ["1:15 the header test has the match type ':contains' besides ':is'; only one is "
          "allowed"]),
        ('if header :comparator "i;none" "a" "b" {}',
         ["1:11 unknown comparator 'i;none' for the header test"]),
        ('if header :comparator "i;ascii-numeric" "a" "b" {}',
         ["1:11 unknown comparator 'i;ascii-numeric' for the header test "
          '(it needs require "comparator-i;ascii-numeric")']),
        ('require "comparator-i;ascii-numeric"; '
         'if header :contains :comparator "i;ascii-numeric" "a" "b" {}',
         ["1:49 the header test: the comparator 'i;ascii-numeric' cannot be used with the match "
          "type ':contains'"]),
        ('if header :comparator 1 "a" "b" {}',
         ["1:23 the header test expects a string as :comparator, but a number was found"]),
        ('if header :comparator ["i;octet"] "a" "b" {}',
         ["1:23 the header test expects a string as :comparator, but a string list was found"]),
        ("if header :comparator {}",
         ["1:11 the header test expects a string as :comparator, but nothing was found",
          "1:4 the header test expects 2 positional arguments, but 0 were found"]),
        ('if header "a" :is "b" {}',
         ["1:15 the header test has the tagged argument ':is' behind its positional arguments"]),
        ('if header :domain "a" "b" {}',
         ["1:11 unknown tagged argument ':domain' for the header test"]),
        ('if header :value "gt" "a" "b" {}',
         ["1:11 unknown tagged argument ':value' for the header test "
          '(it needs require "relational")',
          "1:4 the header test expects 2 positional arguments, but 3 were found"]),
        ('if address :all :domain "from" "b" {}',
         ["1:17 the address test has the address part ':domain' besides ':all'; only one is "
          "allowed"]),
        ('if address "subject" "b" {}',
         ["1:12 specified header 'subject' is not allowed for the address test"]),
        ('if address :user "from" "b" {}',
         ["1:12 unknown tagged argument ':user' for the address test "
          '(it needs require "subaddress")']),
        ('require "fileinto"; fileinto "";',
         ["1:30 invalid mailbox name '' for the fileinto command"]),
        ("frop; if frip {} keep 1;", [
            f"1:1 unknown command 'frop'{ONCE}", f"1:10 unknown test 'frip'{ONCE}",
            "1:18 the keep command expects 0 positional arguments, but 1 were found"]),
    ],
)  # fmt: skip
def test_refused(problems: Problems, source: str, expected: list[str]) -> None:
    assert sorted(problems(source)) == sorted(expected)


def test_errors_come_in_the_order_of_the_script(problems: Problems) -> None:
    lines = [line.split(":")[0] for line in problems("frop;\nkeep ];\nfrip;\nkeep 1;")]
    assert lines == ["1", "2", "3", "4"]


def test_what_is_not_allowed_is_unknown(problems: Problems) -> None:
    source = 'require "fileinto"; fileinto "x";'
    assert problems(source, allowed_extensions={"fileinto"}) == []
    assert problems(source, allowed_extensions=set()) == [
        "1:9 require command: unknown Sieve capability `fileinto'",
        f"1:21 unknown command 'fileinto'{ONCE}",
    ]


def test_too_large_and_not_utf8(problems: Problems) -> None:
    assert problems("keep;" * 10, limits=Limits(script_size=49)) == [
        "0:0 the script is larger than 49 bytes"
    ]
    assert problems(b'keep;\n# \xff"') == ["2:3 the script is not valid UTF-8"]
    assert problems(b"\xef\xbb\xbfkeep;") == []


def test_redirects_forbidden_by_the_limit(problems: Problems) -> None:
    assert problems('redirect "a@b.c";', limits=Limits(redirects=0)) == [
        "1:1 local policy prohibits the use of a redirect action"
    ]


def test_diagnostics_are_bounded_and_readable() -> None:
    script, diagnostics = compile("keep 1;\n" * 1000, "long")
    assert script is None
    assert len(diagnostics) == 50
    assert str(diagnostics[1]) == (
        "long: line 2: error: the keep command expects 0 positional arguments, but 1 were found"
    )


@pytest.mark.parametrize(
    ("source", "warning"),
    [
        ('if header "a:" "b" {}',
         "1:11 specified header field name 'a:' is invalid for the header test"),
        ('if exists "" {}', "1:11 specified header field name '' is invalid for the exists test"),
        ('if exists ["a", "b c"] {}',
         "1:17 specified header field name 'b c' is invalid for the exists test"),
        ('require "date"; if date "ä" "year" "1" {}',
         "1:25 specified header field name 'ä' is invalid for the date test"),
        ('require "vacation"; vacation :addresses ["a@b.example", "nobody"] "x";',
         "1:57 specified :addresses item 'nobody' is invalid and ignored"),
        ('require "enotify"; notify "mailto:a@b.example?from=c@b.example&x-a=b";',
         "1:27 notify command: the field 'from' of the mailto URI is ignored"),
        ('require "enotify"; notify :options "a=b" "mailto:a@b.example";',
         "1:27 notify command: the method mailto takes no options"),
        ('require "duplicate"; if duplicate :header "a b" {}',
         "1:35 invalid header name 'a b' for the duplicate test"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_no_error(source: str, warning: str) -> None:
    script, diagnostics = compile(source, "test")
    assert script is not None
    (told,) = diagnostics
    assert told.severity == "warning"
    assert f"{told.line}:{told.column} {told.message}" == warning
