"""``make run``: a server to look at, with an account, a few mails, and its events on the screen.

Everything is below one folder (``.run/demo`` of the working directory unless told otherwise) and
on loopback; nothing needs root.  The demonstration uses the server as anybody would: ``pillarbox
serve`` in a process of its own, mail delivered by LMTP and read back by IMAP with the standard
library's clients, and ``pillarbox events tail`` to watch.  Ctrl-C stops both.
"""

from __future__ import annotations

import contextlib
import email.policy
import grp
import imaplib
import os
import pwd
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path

from pillarbox.auth.schemes import hash_password

ACCOUNT = "demo@example.com"
PASSWORD = "pillarbox"  # noqa: S105 - the whole point is to print it
IMAP_PORT, IMAPS_PORT, LMTP_PORT = 10143, 10993, 10024
START_TIMEOUT = 60.0
TAIL_STARTS = 1.5

CONFIG = """\
# Made by `make run`; change it and run again.
base_dir = "{folder}/run"
log_path = "{folder}/pillarbox.log"
hostname = "localhost"
listen = ["127.0.0.1"]
mail_home = "{folder}/home/%{{user}}"
mail_path = "%{{home}}/mail"
auth_mechanisms = ["plain", "login", "scram-sha-256"]
auth_password_scheme = "SCRAM-SHA-256"
auth_allow_cleartext = true     # only because it is loopback
ssl_server_cert_file = "{folder}/cert.pem"
ssl_server_key_file = "{folder}/key.pem"
default_internal_user = "{user}"
default_login_user = "{user}"
default_internal_group = "{group}"

[passdb.users]
driver = "passwd-file"
passwd_file_path = "{folder}/users"

[userdb.users]
driver = "passwd-file"
passwd_file_path = "{folder}/users"

[service.imap_login.inet_listener.imap]
port = {imap}
[service.imap_login.inet_listener.imaps]
port = {imaps}
[service.lmtp.inet_listener.lmtp]
port = {lmtp}
"""


def main() -> int:
    """Prepare the folder, start the server, deliver, read, print, and watch until Ctrl-C."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".run/demo").resolve()
    for port in (IMAP_PORT, IMAPS_PORT, LMTP_PORT):
        if _listening(port):
            print(f"Port {port} is taken: is the demonstration running already?", file=sys.stderr)
            return 1
    config = prepare(folder)
    with _server(config) as server:
        if not _wait_until_ready(server):
            print(f"The server did not start; see {folder}/pillarbox.log", file=sys.stderr)
            return 1
        for message in mails():
            deliver(message)
        subjects = read_back()
        show(folder, subjects)
        _watch(config, server)
    print("\nStopped.")
    return 0


def prepare(folder: Path) -> Path:
    """Write the configuration, the users file and a certificate; returns the configuration."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = folder / "pillarbox.toml"
    config.write_text(
        CONFIG.format(
            folder=folder,
            user=pwd.getpwuid(os.getuid()).pw_name,
            group=grp.getgrgid(os.getgid()).gr_name,
            imap=IMAP_PORT,
            imaps=IMAPS_PORT,
            lmtp=LMTP_PORT,
        )
    )
    users = folder / "users"
    if not users.exists():
        hashed = hash_password("SCRAM-SHA-256", PASSWORD)
        users.write_text(f"{ACCOUNT}:{hashed}:::::\n")
        users.chmod(0o600)
    if not (folder / "cert.pem").exists():
        _make_certificate(folder)
    return config


def mails() -> Iterator[EmailMessage]:
    """A few messages such as people get: plain, with an accent, and with an attachment."""
    plain = _message("Anna Keller <anna@example.org>", "Lunch on Thursday?", 50)
    plain.set_content("Hello,\n\nthe usual place at half past twelve?\n\nAnna\n")
    yield plain

    accents = _message("Jérôme Dubois <jerome@example.net>", "Café: la réunion de demain", 20)
    accents.set_content("Bonjour,\n\nla réunion commence à 9 h 30, salle « Été ».\n\nJérôme\n")
    accents.add_alternative("<p>Bonjour,</p><p>la réunion commence à <b>9 h 30</b>.</p>", "html")
    yield accents

    attached = _message("Accounts <accounts@example.com>", "Invoice 2026-117", 5)
    attached.set_content("Please find the invoice attached.\n")
    attached.add_attachment(
        "item;price\nletters;12.50\n", subtype="csv", filename="invoice-2026-117.csv"
    )
    yield attached


def _watched() -> EmailMessage:
    """One that arrives while the events are on the screen, so that there is something to see."""
    message = _message("Pillarbox <demo@example.com>", "You can watch this one arrive", 0)
    message.set_content("Each line below the greeting is an event of this delivery.\n")
    return message


def _message(sender: str, subject: str, minutes_ago: int) -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = sender
    message["To"] = ACCOUNT
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.now(UTC) - timedelta(minutes=minutes_ago))
    message["Message-ID"] = make_msgid(domain="example.org")
    return message


def deliver(message: EmailMessage) -> None:
    """Hand one message to the server by LMTP."""
    with smtplib.LMTP("127.0.0.1", LMTP_PORT) as client:
        client.send_message(message, from_addr="sender@example.org", to_addrs=[ACCOUNT])


def read_back() -> list[str]:
    """Subjects of the newest mails of INBOX, read over IMAP."""
    client = imaplib.IMAP4("127.0.0.1", IMAP_PORT)
    client.login(ACCOUNT, PASSWORD)
    client.select("INBOX", readonly=True)
    _, found = client.search(None, "ALL")
    subjects = []
    for number in found[0].split()[-3:]:
        _, data = client.fetch(number.decode(), "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        raw = next(part[1] for part in data if isinstance(part, tuple))
        parsed = email.message_from_bytes(raw, policy=email.policy.default)
        subjects.append(str(parsed["Subject"]))
    client.logout()
    return subjects


def show(folder: Path, subjects: list[str]) -> None:
    """Say what is there and how to connect."""
    print("Pillarbox is running.\n\nDelivered through LMTP and read back over IMAP:")
    for subject in subjects:
        print(f"  - {subject}")
    print(
        f"\nConnect a mail client with\n"
        f"  IMAP     127.0.0.1 port {IMAP_PORT} (STARTTLS or none), port {IMAPS_PORT} (TLS)\n"
        f"  account  {ACCOUNT}\n"
        f"  password {PASSWORD}\n"
        f"  LMTP     127.0.0.1 port {LMTP_PORT}, for deliveries\n"
        f"  for example: curl imap://127.0.0.1:{IMAP_PORT}/INBOX -u {ACCOUNT}:{PASSWORD}\n"
        f"\nConfiguration and mail are in {folder}.\n"
        f"Events as they happen (Ctrl-C stops the server):\n",
        flush=True,
    )


@contextlib.contextmanager
def _server(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The server as a process; stopped by SIGTERM at the end."""
    command = [sys.executable, "-m", "pillarbox.cli.main", "serve", "-c", str(config)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        if _listening(IMAP_PORT) and _listening(LMTP_PORT):
            return True
        time.sleep(0.1)
    return False


def _listening(port: int) -> bool:
    """Whether something on that port greets."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as probe:
            return bool(probe.recv(64))
    except OSError:
        return False


def _watch(config: Path, server: subprocess.Popen[bytes]) -> None:
    """Show the live tail until Ctrl-C, SIGTERM, or the end of the server."""
    command = [sys.executable, "-m", "pillarbox.cli.main", "events", "tail", "-c", str(config)]
    tail = subprocess.Popen(command, start_new_session=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        time.sleep(TAIL_STARTS)
        deliver(_watched())
        while server.poll() is None and tail.poll() is None:
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    finally:
        tail.terminate()
        tail.wait()


def _make_certificate(folder: Path) -> None:
    """A self-signed certificate for localhost, good for a year."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_file = folder / "key.pem"
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    sys.exit(main())
