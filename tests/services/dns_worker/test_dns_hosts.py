"""The hosts file: what it says, and that changes are seen."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.services.dns_worker.hosts import HostsFile, parse

TEXT = """
127.0.0.1 localhost
192.0.2.1\tmail.example.com  Mail # the mail server
2001:DB8::1 mail.example.com.
fe80::1%eth0 link
192.0.2.1 other
# 192.0.2.9 commented
300.1.1.1 wrong
192.0.2.2
nonsense
"""


def test_what_it_says() -> None:
    hosts = parse(TEXT)
    assert hosts.addresses == {
        "localhost": ("127.0.0.1",),
        "mail.example.com": ("192.0.2.1", "2001:db8::1"),
        "mail": ("192.0.2.1",),
        "link": ("fe80::1",),
        "other": ("192.0.2.1",),
    }
    assert hosts.names == {
        "127.0.0.1": "localhost",
        "192.0.2.1": "mail.example.com",
        "2001:db8::1": "mail.example.com.",
        "fe80::1": "link",
    }


@given(st.text())
def test_nothing_breaks_it(text: str) -> None:
    hosts = parse(text)
    assert all(hosts.addresses.values())


def test_changes_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    file = HostsFile(str(path))
    assert file.read().addresses == {}
    path.write_text("192.0.2.1 one\n")
    assert file.read().addresses == {"one": ("192.0.2.1",)}
    assert file.read() is file.read()
    new = tmp_path / "new"
    new.write_text("192.0.2.2 one\n")
    os.replace(new, path)
    assert file.read().addresses == {"one": ("192.0.2.2",)}
    path.unlink()
    assert file.read().addresses == {}
    assert HostsFile("").read().addresses == {}
