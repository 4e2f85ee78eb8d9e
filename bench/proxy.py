"""``python -m bench.proxy``: FETCH of 200 MB through the login proxy, against a direct connection.

One Pillarbox has the mail, another one (and Debian's Dovecot, where it is installed) stands before
it as a login proxy.  Direct and proxied runs take turns, so that both meet the same weather; the
ratio is that of their medians, above 1: as fast as without a proxy.  Plain connections and TLS of
the client are measured apart; for TLS the direct connection is under TLS as well.
"""

from __future__ import annotations

import argparse
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.clients import Imap
from bench.servers import PASSWORD, Dovecot, Pillarbox, Server, free_port, user

TARGET = 0.7


class Backend(Pillarbox):
    """The server that has the mail, with TLS as well."""

    def __init__(self, folder: Path, certificate: Path) -> None:
        super().__init__(folder)
        self.imaps_port = free_port()
        self.certificate = certificate

    def command(self) -> list[str]:
        """As usual, with TLS on a port of its own."""
        command = super().command()
        _with_tls(Path(command[-1]), self.certificate, self.imaps_port)
        return command


class PillarboxProxy(Backend):
    """Pillarbox, which passes every user on."""

    name = "pillarbox"

    def __init__(self, folder: Path, certificate: Path, backend: Server) -> None:
        super().__init__(folder, certificate)
        self.backend = backend

    def write_users(self, uid: int, gid: int) -> Path:
        """Everybody is served by the backend."""
        return _passed_on(super().write_users(uid, gid), self.backend)


class DovecotProxy(Dovecot):
    """Debian's Dovecot, which passes every user on; without TLS."""

    name = "dovecot"

    def __init__(self, folder: Path, backend: Server) -> None:
        super().__init__(folder)
        self.backend = backend

    def write_users(self, uid: int, gid: int) -> Path:
        """Everybody is served by the backend."""
        return _passed_on(super().write_users(uid, gid), self.backend)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the servers, load the mail, measure, print; status 1 below the target."""
    parser = argparse.ArgumentParser(prog="python -m bench.proxy", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    worst = float("inf")
    with tempfile.TemporaryDirectory(prefix="pillarbox-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        certificate = _certificate(folder)
        backend = Backend(folder / "backend", certificate)
        ours = PillarboxProxy(folder / "ours", certificate, backend)
        servers: list[Server] = [backend, ours]
        if Dovecot.installed():
            servers.append(DovecotProxy(folder / "theirs", backend))
        try:
            for server in servers:
                server.start()
            _load(backend, options.megabytes)
            rows = [("plain", proxy, False, backend.imap_port, proxy.imap_port)
                    for proxy in servers[1:]]  # fmt: skip
            rows.append(("TLS", ours, True, backend.imaps_port, ours.imaps_port))
            for kind, proxy, tls, direct, through in rows:
                ratio = _measure(options, f"{kind:<6} {proxy.name:<10}", tls, direct, through)
                worst = min(worst, ratio) if proxy is ours else worst
        finally:
            for server in servers:
                server.stop()
    return 0 if worst >= TARGET else 1


def _measure(options: argparse.Namespace, name: str, tls: bool, direct: int, through: int) -> float:
    times: dict[int, list[float]] = {direct: [], through: []}
    for _ in range(options.runs):
        for port, found in times.items():
            found.append(_fetch(port, tls))
    rates = {port: options.megabytes / statistics.median(found) for port, found in times.items()}
    ratio: float = rates[through] / rates[direct]
    print(
        f"{name} direct {rates[direct]:7.0f} MB/s, proxied {rates[through]:7.0f} MB/s, "
        f"ratio {ratio:.2f} (target {TARGET})"
    )
    return ratio


def _fetch(port: int, tls: bool) -> float:
    context: ssl.SSLContext | None = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    imap = Imap(port, context)
    imap.login(user(0), PASSWORD)
    imap.run(b"EXAMINE Big")
    seconds = imap.timed(b"FETCH 1:* BODY.PEEK[]")
    imap.close()
    return seconds


def _load(backend: Server, megabytes: int) -> None:
    imap = Imap(backend.imap_port)
    imap.login(user(0), PASSWORD)
    imap.run(b"CREATE Big")
    line = b"0123456789" * 7 + b"\r\n"
    size = 4 << 20
    mail = b"Subject: big\r\n\r\n" + line * (size // len(line))
    for _ in range(megabytes * (1 << 20) // size):
        imap.append_many("Big", [mail])
    imap.close()


def _passed_on(users: Path, backend: Server) -> Path:
    lines = users.read_text().splitlines()
    fields = f"proxy=y host=127.0.0.1 port={backend.imap_port} pass={PASSWORD}"
    users.write_text("".join(f"{line}{fields}\n" for line in lines))
    return users


def _with_tls(config: Path, certificate: Path, port: int) -> None:
    text = config.read_text().replace(
        'ssl = "no"', f'ssl = "yes"\nssl_server_cert_file = "{certificate}"'
    )
    block = "[service.imap_login.inet_listener.imaps]\nport = "
    text = text.replace(f"{block}0", f'{block}{port}\naddress = ["127.0.0.1"]')
    config.write_text(text)


def _certificate(folder: Path) -> Path:
    path = folder / "certificate.pem"
    openssl = shutil.which("openssl")
    if openssl is None:
        sys.exit("openssl is needed to make a certificate")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-keyout", str(path), "-out", f"{path}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    with path.open("ab") as both:
        both.write(Path(f"{path}.crt").read_bytes())
    os.chmod(path, 0o644)
    return path


if __name__ == "__main__":
    sys.exit(main())
