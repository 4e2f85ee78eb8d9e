"""Ordinary programs against the server: curl, mbsync, mutt, fetchmail, offlineimap, swaks."""

from __future__ import annotations

import contextlib
import mailbox
import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from running import PASSWORD, USERS, Running, running

pytestmark = pytest.mark.e2e

TEXT = (
    "From: anna@example.org\r\nTo: alice@example.com\r\nSubject: {subject}\r\n"
    "Message-ID: <{subject}@example.org>\r\n\r\nText of {subject}\r\n"
)


@pytest.fixture
def fresh(tmp_path: Path):
    """A server for one test alone."""
    with running(tmp_path / "server") as server:
        yield server


def need(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def mail(subject: str) -> bytes:
    return TEXT.format(subject=subject).encode()


def call(
    *command: str, cwd: Path | None = None, stdin: bytes = b"", ok: tuple[int, ...] = (0,)
) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(cwd or Path.cwd())}
    done = subprocess.run(
        command, cwd=cwd, input=stdin, capture_output=True, timeout=90, env=environment, check=False
    )
    output = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode in ok, f"{command[0]} said {done.returncode}:\n{output[-4000:]}"
    return done.stdout.decode(errors="replace")


def call_on_terminal(*command: str, cwd: Path) -> None:
    """Run a full-screen program on a terminal of its own, on which nobody types anything."""
    master, slave = pty.openpty()
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(cwd), "TERM": "vt100"}
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    output = b""
    deadline = time.monotonic() + 90
    try:
        # The last one to hold the other end was the program: its end is an end of file or EIO.
        with contextlib.suppress(OSError):
            while select.select([master], [], [], max(0, deadline - time.monotonic()))[0]:
                output += os.read(master, 65536)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(1, deadline - time.monotonic()))
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert process.returncode == 0, output[-4000:].decode(errors="replace")


def subjects(server: Running, folder: str) -> set[str]:
    client = server.imap()
    client.select(folder, readonly=True)
    _, data = client.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    client.logout()
    return {part[1].decode().strip()[9:] for part in data if isinstance(part, tuple)}


def test_curl_reads_lists_searches_and_appends(fresh: Running, tmp_path: Path) -> None:
    curl = need("curl")
    fresh.deliver(mail("one"))
    base = [curl, "--silent", "--show-error", "--user", f"{USERS[0]}:{PASSWORD}"]
    url = f"imap://127.0.0.1:{fresh.imap_port}"
    assert "Text of one" in call(*base, f"{url}/INBOX;MAILINDEX=1")
    assert "Text of one" in call(*base, f"{url}/INBOX;UID=1;SECTION=TEXT")
    assert "INBOX" in call(*base, f"{url}/")
    assert "* SEARCH 1" in call(*base, f"{url}/INBOX?SUBJECT%20one")
    (tmp_path / "upload").write_bytes(mail("two"))
    call(*base, "--upload-file", str(tmp_path / "upload"), f"{url}/Drafts")
    assert subjects(fresh, "Drafts") == {"two"}


def mbsync_config(server: Running, folder: Path) -> Path:
    config = folder / "mbsyncrc"
    config.write_text(
        f"""
IMAPAccount pillarbox
Host 127.0.0.1
Port {server.imap_port}
User {USERS[0]}
Pass {PASSWORD}
SSLType None
AuthMechs LOGIN

IMAPStore far
Account pillarbox

MaildirStore near
Path {folder}/near/
Inbox {folder}/near/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
Sync All
SyncState *
"""
    )
    (folder / "near").mkdir()
    return config


def test_mbsync_goes_both_ways(fresh: Running, tmp_path: Path) -> None:
    mbsync = need("mbsync")
    for name in ("one", "two", "three"):
        fresh.deliver(mail(name))
    client = fresh.imap()
    client.create("Work/Projects")
    client.append("Work/Projects", "(\\Flagged)", "", mail("filed"))
    config = mbsync_config(fresh, tmp_path)
    call(mbsync, "-c", str(config), "-a", cwd=tmp_path)
    inbox = mailbox.Maildir(tmp_path / "near/INBOX", create=False)
    assert {m["subject"] for m in inbox} == {"one", "two", "three"}
    work = mailbox.Maildir(tmp_path / "near/Work/Projects", create=False)
    assert [m.get_flags() for m in work] == ["F"]

    keys = {message["subject"]: key for key, message in inbox.items()}
    seen = inbox[keys["one"]]
    seen.set_subdir("cur")
    seen.set_flags("RS")
    inbox[keys["one"]] = seen
    inbox.discard(keys["two"])
    added = mailbox.MaildirMessage(mail("local").replace(b"\r\n", b"\n"))
    added.set_subdir("cur")
    inbox.add(added)
    client.select("INBOX")
    number = client.search(None, "SUBJECT", "three")[1][0].decode()
    client.store(number, "+FLAGS", "(\\Deleted)")
    client.expunge()
    client.create("New")
    client.append("New", "", "", mail("remote"))
    call(mbsync, "-c", str(config), "-a", cwd=tmp_path)

    assert subjects(fresh, "INBOX") == {"one", "local"}
    number = client.search(None, "SUBJECT", "one")[1][0].decode()
    flags = client.fetch(number, "(FLAGS)")[1][0]
    assert b"\\Seen" in flags
    assert b"\\Answered" in flags
    again = mailbox.Maildir(tmp_path / "near/INBOX", create=False)
    assert {m["subject"] for m in again} == {"one", "local"}
    assert [m["subject"] for m in mailbox.Maildir(tmp_path / "near/New", create=False)] == [
        "remote"
    ]
    call(mbsync, "-c", str(config), "-a", cwd=tmp_path)
    assert subjects(fresh, "INBOX") == {"one", "local"}


def test_mutt_in_batch(fresh: Running, tmp_path: Path) -> None:
    mutt = need("mutt")
    fresh.deliver(mail("for-mutt"))
    rc = tmp_path / "muttrc"
    rc.write_text(
        f'set imap_user="{USERS[0]}"\nset imap_pass="{PASSWORD}"\nset ssl_starttls=no\n'
        f'set folder="imap://127.0.0.1:{fresh.imap_port}/"\nset spoolfile="+INBOX"\n'
        f'set header_cache=""\nset ssl_force_tls=no\nset confirmappend=no\nset delete=yes\n'
        f"set quit=yes\nset wait_key=no\nset save_empty=yes\nset move=no\nset confirmcreate=no\n"
        f'set imap_authenticators="login"\n'
        'push "<tag-pattern>~s for-mutt<enter><tag-prefix><save-message>=Trash<enter>'
        '<sync-mailbox><quit>"\n'
    )
    call_on_terminal(mutt, "-n", "-F", str(rc), cwd=tmp_path)
    assert subjects(fresh, "Trash") == {"for-mutt"}
    assert subjects(fresh, "INBOX") == set()


def test_fetchmail_takes_mail_away(fresh: Running, tmp_path: Path) -> None:
    fetchmail = need("fetchmail")
    fresh.deliver(mail("fetched"))
    rc = tmp_path / "fetchmailrc"
    rc.write_text(
        f"poll 127.0.0.1 protocol imap port {fresh.imap_port} auth password\n"
        f' user "{USERS[0]}" password "{PASSWORD}" sslproto \'\' no rewrite\n'
        f' mda "cat >> {tmp_path}/got"\n'
    )
    rc.chmod(0o600)
    call(fetchmail, "-f", str(rc), "--pidfile", str(tmp_path / "pid"), "--nosyslog", cwd=tmp_path)
    assert "Subject: fetched" in (tmp_path / "got").read_text()
    assert subjects(fresh, "INBOX") == set()


def test_offlineimap_syncs(fresh: Running, tmp_path: Path) -> None:
    offlineimap = need("offlineimap")
    fresh.deliver(mail("offline"))
    rc = tmp_path / "offlineimaprc"
    rc.write_text(
        f"""
[general]
accounts = test
metadata = {tmp_path}/metadata
[Account test]
localrepository = local
remoterepository = remote
[Repository local]
type = Maildir
localfolders = {tmp_path}/maildir
[Repository remote]
type = IMAP
remotehost = 127.0.0.1
remoteport = {fresh.imap_port}
remoteuser = {USERS[0]}
remotepass = {PASSWORD}
ssl = no
starttls = no
auth_mechanisms = PLAIN, LOGIN
"""
    )
    call(offlineimap, "-c", str(rc), "-u", "basic", "-o", cwd=tmp_path)
    folder = mailbox.Maildir(tmp_path / "maildir/INBOX", create=False)
    assert [m["subject"] for m in folder] == ["offline"]
    added = mailbox.MaildirMessage(mail("upload").replace(b"\r\n", b"\n"))
    added.set_subdir("cur")
    added.set_flags("S")
    folder.add(added)
    call(offlineimap, "-c", str(rc), "-u", "basic", "-o", cwd=tmp_path)
    assert subjects(fresh, "INBOX") == {"offline", "upload"}


def test_swaks_delivers_by_lmtp(fresh: Running) -> None:
    swaks = need("swaks")
    output = call(
        swaks,
        "--protocol",
        "LMTP",
        "--server",
        f"127.0.0.1:{fresh.lmtp_port}",
        "--to",
        USERS[0],
        "--from",
        "s@example.org",
        "--header",
        "Subject: by-swaks",
    )
    assert " 250 2." in output
    assert subjects(fresh, "INBOX") == {"by-swaks"}
