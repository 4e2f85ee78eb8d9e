"""Scripts that look at and change parts, on any message: they end, and leave what can be read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.sieve.driver import run_script
from pillarbox.sieve.environment import Envelope
from pillarbox.sieve.result import Result
from pillarbox.sieve.script import Script, compile

PIECES = [
    b"Content-Type: multipart/mixed; boundary=a\r\n", b"Content-Type: message/rfc822\r\n",
    b"Content-Type: text/html; charset=utf-8\r\n",
    b"Content-Disposition: attachment;filename=x\r\n",
    b"Content-Transfer-Encoding: base64\r\n", b"Subject: =?utf-8?q?x?=\r\n", b"\r\n", b"--a\r\n",
    b"--a--\r\n", b"text \xff\xc3\x28\r\n", b"From: <a@b.c>\r\n", b"--b\r\n", b":\r\n",
    b"Content-Type: multipart/alternative; boundary=b\r\n", b"Content-Type: application/x\r\n",
]  # fmt: skip
MESSAGES = st.lists(st.sampled_from(PIECES) | st.binary(max_size=10), max_size=30).map(b"".join)


def compiled(body: str) -> Script:
    script, diagnostics = compile(
        'require ["mime", "foreverypart", "replace", "enclose", "extracttext", "variables"];\n'
        + body,
        "s",
    )
    assert script is not None, [str(d) for d in diagnostics]
    return script


LOOKS = compiled("""
foreverypart {
  extracttext :first 10 :upper "x";
  if header :mime :anychild :param ["filename", "charset"] :matches
      ["Content-Type", "Content-Disposition"] "*" {
    set "y" "${1}";
  }
  if anyof (header :mime :type "Content-Type" "image", address :mime :anychild "from" "x@y.z",
    exists :mime "content-id") { discard; }
  foreverypart { if header :mime :subtype "Content-Type" "html" { break; } }
}
""")
REPLACES = compiled("""
foreverypart { if header :mime :type "Content-Type" ["application", "message"] { replace "gone"; } }
""")
REPLACES_ALL = compiled('foreverypart { replace :mime "Content-Type: text/x\r\n\r\nnew"; }')
ENCLOSES = compiled(
    'enclose :subject "s" :headers ["from"] "look"; foreverypart { extracttext "t"; }'
)


def run(script: Script, data: bytes) -> Result:
    result = run_script(script, data, Envelope("a@example.org", "b@example.org"))
    assert result.error is None
    return result


@given(MESSAGES)
def test_looking_changes_nothing(data: bytes) -> None:
    result = run(LOOKS, data)
    assert result.message(result.final_version) == data


@given(MESSAGES)
def test_replaced_parts_are_gone(data: bytes) -> None:
    result = run(REPLACES, data)
    again = run(REPLACES, result.message(result.final_version))
    assert again.final_version == 0


@given(MESSAGES)
def test_replacing_the_whole(data: bytes) -> None:
    result = run(REPLACES_ALL, data)
    assert result.message(result.final_version).endswith(b"Content-Type: text/x\r\n\r\nnew\r\n")


@given(MESSAGES)
def test_the_enclosed_message_is_there_as_it_was(data: bytes) -> None:
    result = run(ENCLOSES, data)
    assert b"Content-Type: message/rfc822\r\n\r\n" + data in result.message(result.final_version)


def test_a_header_without_its_line_end() -> None:
    result = run(REPLACES_ALL, b"Subject: x")
    assert result.message(result.final_version).startswith(b"Subject: x\r\nMIME-Version: 1.0\r\n")
    result = run(ENCLOSES, b"From: a@b.c")
    assert b"From: a@b.c\r\nDate: " in result.message(result.final_version)


def test_too_many_changes() -> None:
    data = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * 300
    script = compiled(
        'foreverypart { if not header :mime :type "content-type" "multipart" { replace "y"; } }'
    )
    result = run_script(script, data)
    assert result.error is not None
    assert "parts of the message" in result.error.message
    assert result.keeps
