"""header, address, exists, size, comparators and match types on one message, as a table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Evaluate = Callable[..., bool]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("true", True),
        ("false", False),
        ("not true", False),
        ("not not true", True),
        ("allof (true, true)", True),
        ("allof (true, false, true)", False),
        ("anyof (false, true)", True),
        ("anyof (false, false)", False),
        ("anyof (false, not allof (true, false))", True),
        ('header "subject" "Grüße from the sea"', True),
        ('header "SUBJECT" "grüße FROM the sea"', True),
        ('header "subject" "GRÜSSE from the sea"', False),
        ('header :comparator "i;octet" "subject" "Grüße from the sea"', True),
        ('header :comparator "i;octet" "subject" "grüße from the sea"', False),
        ('header :comparator "i;unicode-casemap" "subject" "GRÜSSE FROM THE SEA"', True),
        ('header :contains "subject" "FROM"', True),
        ('header :contains :comparator "i;octet" "subject" "FROM"', False),
        ('header :contains "subject" ["nothing", "sea"]', True),
        ('header :contains ["x-none", "subject"] "sea"', True),
        ('header :contains "x-none" ""', False),
        ('header :contains "x-empty" ""', True),
        ('header :is "x-empty" ""', True),
        ('header :is "x-empty" " "', False),
        ('header :matches "subject" "*"', True),
        ('header :matches "subject" "gr????e*sea"', True),
        ('header :matches "subject" "gr??e*sea"', False),
        ('header :matches :comparator "i;octet" "subject" "Gr????e*"', True),
        ('header :matches "subject" "*\u00fc*\u00dfe from*"', True),
        ('exists ["subject", "a:"]', False),
        ('not header :contains ["a b", "subject:", "\u00fc", ""] ""', True),
        ('header :matches "subject" "gr?e*sea"', False),
        ('header :matches "subject" "*from*"', True),
        ('header :matches "subject" "from*"', False),
        ('header :matches "subject" "*from"', False),
        ('header :matches "x-empty" "*"', True),
        ('header :matches "x-empty" "?"', False),
        ('header :matches "x-list" "t*"', True),
        ('header "x-list" "three"', True),
        ('header "x-list" "four"', False),
        ('header :is :comparator "i;ascii-numeric" "x-number" "042"', True),
        ('header :is :comparator "i;ascii-numeric" "x-number" "43"', False),
        ('header :is :comparator "i;ascii-numeric" "subject" "no number"', True),
        ('header "to" "Alice"', False),
        ('header :contains "to" "carol@example.net, Dave"', True),
        ('header :contains "message-id" "<one@"', True),
        ('address "from" "bob@example.com"', True),
        ('address :all "from" "BOB@EXAMPLE.COM"', True),
        ('address :localpart "from" "bob"', True),
        ('address :domain "from" "example.com"', True),
        ('address :domain "to" ["example.com", "example.org"]', True),
        ('address :domain :comparator "i;octet" "to" "EXAMPLE.org"', True),
        ('address "to" "dave@example.org"', True),
        ('address :contains "from" "Bob Example"', False),
        ('address "cc" "mallory@example.com"', True),
        ('address :localpart :matches "cc" "friends*"', False),
        ('address ["cc", "bcc"] "eve@example.com"', True),
        ('address :is "bcc" ""', False),
        ('address :user "to" "alice"', True),
        ('address :detail "to" "work"', True),
        ('address :detail "to" ""', False),
        ('address :user "from" "bob"', True),
        ('address :detail :matches "from" "*"', False),
        ('exists "subject"', True),
        ('exists ["subject", "FROM", "to"]', True),
        ('exists ["subject", "x-none"]', False),
        ('exists "x-empty"', True),
        ("size :over 100", True),
        ("size :over 1M", False),
        ("size :under 1M", True),
        ("size :under 100", False),
    ],
)  # fmt: skip
def test_on_the_message(evaluate: Evaluate, test: str, expected: bool) -> None:
    assert evaluate(test) is expected


def test_size_of_exactly_the_limit_is_neither(evaluate: Evaluate, message: bytes) -> None:
    size = len(message)
    assert not evaluate(f"size :over {size}")
    assert not evaluate(f"size :under {size}")
    assert evaluate(f"size :over {size - 1}")
    assert evaluate(f"size :under {size + 1}")


@pytest.mark.parametrize(
    ("address", "test", "expected"),
    [
        (b"", 'address "from" ""', False),
        (b"nonsense", 'address :matches "from" "*"', True),
        (b"<>", 'address :matches "from" "*@*"', False),
        (b'"a b"@example.com', 'address :localpart "from" "a b"', True),
        (b"a@b (comment)", 'address "from" "a@b"', True),
        (b"=?utf-8?q?a=40b?= <x@y>", 'address "from" "x@y"', True),
        (b"\xc3\xa9@example.com", 'address "from" "\u00e9@example.com"', True),
        (b"root", 'address "from" "root"', True),
        (b"root", 'address :count "eq" "from" "1"', True),
        (b"Just a name", 'address :contains "from" "a name"', True),
        (b"Just a name", 'address :localpart :contains "from" ""', False),
        (b"Just a name", 'address :domain :contains "from" ""', False),
        (b"a@", 'address :all "from" "a@"', True),
        (b"undisclosed-recipients:;", 'address :contains "from" ""', False),
        (b"", 'address :contains "from" ""', False),
    ],
)
def test_odd_addresses(evaluate: Evaluate, address: bytes, test: str, expected: bool) -> None:
    assert evaluate(test, b"From: " + address + b"\r\n\r\n") is expected


@pytest.mark.parametrize(
    ("message", "test", "expected"),
    [
        (b"", 'exists "subject"', False),
        (b"", "size :under 1", True),
        (b"\r\nbody", 'header :contains "subject" ""', False),
        (b"Subject : odd\r\n\r\n", 'header "subject" "odd"', True),
        (b"Subject:  a  b  \r\n\r\n", 'header "subject" "a  b"', True),
        (b"Subject: a\n\n", 'header "subject" "a"', True),
        (b"Subject: \xff\r\n\r\n", 'header :matches "subject" "??"', True),
        (b"Subject: a\r\n b\r\n\r\n", 'header "subject" "a b"', True),
        (b"Subject: no end", 'header "subject" "no end"', True),
    ],
)
def test_odd_messages(evaluate: Evaluate, message: bytes, test: str, expected: bool) -> None:
    assert evaluate(test, message) is expected
