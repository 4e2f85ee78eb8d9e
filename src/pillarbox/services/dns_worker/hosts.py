"""The hosts file (hosts(5)): names and addresses that are known without asking.

`parse` is pure.  `HostsFile` reads the file again when it has changed, which one stat tells.
Lines that are not understood are passed over, as everybody else does who reads that file.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

MAX_SIZE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Hosts:
    """Addresses by name (in lower case), and names by address: the first of its line."""

    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def parse(text: str) -> Hosts:
    """What a hosts file says."""
    addresses: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for line in text.splitlines():
        address, *aliases = line.partition("#")[0].split() or [""]
        try:
            ip = str(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            continue
        for alias in aliases:
            known = addresses.setdefault(alias.lower().rstrip("."), [])
            if ip not in known:
                known.append(ip)
        if aliases:
            names.setdefault(ip, aliases[0])
    return Hosts({name: tuple(found) for name, found in addresses.items()}, names)


class HostsFile:
    """The file at a path; "" is no file."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._stamp: tuple[int, int, int] | None = None
        self._hosts = Hosts()

    def read(self) -> Hosts:
        """What it says now; nothing if it cannot be read."""
        if self._path is None:
            return self._hosts
        try:
            found = os.stat(self._path)
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._hosts = parse(file.read(MAX_SIZE))
                self._stamp = stamp
        except OSError:
            self._hosts, self._stamp = Hosts(), None
        return self._hosts
