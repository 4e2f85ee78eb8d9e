"""Telling systemd how we are, by the protocol of sd_notify(3).

Datagrams to the socket in ``NOTIFY_SOCKET``: READY=1 when everything serves, RELOADING=1 with the
monotonic clock at a reload (Type=notify-reload), STOPPING=1, STATUS= for people, WATCHDOG=1 in
half the interval that ``WATCHDOG_USEC`` asks for.  Without NOTIFY_SOCKET nothing happens.  The
variables are taken out of the environment, so that services do not speak for the master.
"""

from __future__ import annotations

import os
import socket
import time


class Systemd:
    """The notification socket, if there is one."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        self._address = env.pop("NOTIFY_SOCKET", "")
        usec = env.pop("WATCHDOG_USEC", "")
        pid = env.pop("WATCHDOG_PID", "")
        ours = not pid or pid == str(os.getpid())
        self.watchdog_seconds = int(usec) / 1e6 / 2 if usec.isdigit() and ours else 0.0

    def ready(self, status: str = "") -> None:
        """Everything serves (again, after a reload)."""
        self._send("READY=1" + (f"\nSTATUS={status}" if status else ""))

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={usec}")

    def stopping(self) -> None:
        """The server stops."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """A line for ``systemctl status``."""
        self._send(f"STATUS={text}")

    def watchdog(self) -> None:
        """The master's loop still turns."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(message.encode(), address)
        except OSError:
            pass
