"""What scripts see of HTML, and that no text takes long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.sieve.visible_text import visible_text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Hi\r\nthere   friend</p><br>x", "Hi there friend x"),
        ("<p>One</p><p>Two</p>", "One Two"),
        ("a<br>b<BR/>c", "a b c"),
        ("<b>b</b>old <a href='http://e.example/?a=b'>link</a>ed", "bold linked"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><th>c</table>", "a b c"),
        ("<div>1</div>2<ul><li>3<li>4</ul>5", "1 2 3 4 5"),
        ("a&nbsp;b &lt;c&gt; &eacute;&#233; &bogus; &amp", "a b <c> éé &bogus; &"),
        ("<html><head><title>T</title></head><body class=x>B</body></html>", "B"),
        ("<head><title>T</title><body>B", "B"),
        ("x<STYLE type=a>p {}</STYLE >y<script>var a = '<p>';</script\n>z", "x y z"),
        ("a<!-- <p> b -- > c -->d<!---->e", "a d e"),
        ("a<!-- b<script>c", "a<!-- bc"),
        ("a<style>b", "ab"),
        ("<head>a", "a"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("a <3 b <", "a <3 b <"),
        ("<header>a</header>b <headline>c", "a b c"),
        ("", ""),
    ],
)
def test_what_a_reader_sees(markup: str, text: str) -> None:
    assert visible_text(markup) == text


@given(st.text(alphabet="<>/!- abpescriptylhd&;'\"\r\n", max_size=60))
def test_any_text_is_read(markup: str) -> None:
    text = visible_text(markup)
    assert text == " ".join(text.split())


@pytest.mark.parametrize(
    "piece", ["<", "<!--", "<script>", "<head", "<p ", "</", "<script></style", "</script  ", "&#"]
)
def test_hostile_markup_ends_soon(piece: str) -> None:
    started = time.process_time()
    visible_text(piece * (400_000 // len(piece)))
    assert time.process_time() - started < 5
