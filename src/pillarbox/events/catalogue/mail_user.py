"""Events of a user's session with the mail store, and what it cost."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import SESSION
from pillarbox.events.catalogue.own import NetInBytes, NetOutBytes
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare(inherits=SESSION)
def mail_user_session_finished(
    scope: Scope,
    /,
    *,
    utime: Annotated[int | None, F("User CPU time.", unit="µs")] = None,
    stime: Annotated[int | None, F("System CPU time.", unit="µs")] = None,
    minor_faults: Annotated[int | None, F("Page faults that needed no disk.")] = None,
    major_faults: Annotated[int | None, F("Page faults that needed the disk.")] = None,
    vol_cs: Annotated[int | None, F("Context switches that the process asked for.")] = None,
    invol_cs: Annotated[int | None, F("Context switches forced on the process.")] = None,
    rss: Annotated[int | None, F("Resident memory of the process.", unit="bytes")] = None,
    vsz: Annotated[int | None, F("Virtual memory of the process.", unit="bytes")] = None,
    rchar: Annotated[int | None, F("Bytes read by read calls.", unit="bytes")] = None,
    wchar: Annotated[int | None, F("Bytes written by write calls.", unit="bytes")] = None,
    syscr: Annotated[int | None, F("Number of read calls.")] = None,
    syscw: Annotated[int | None, F("Number of write calls.")] = None,
    net_in_bytes: NetInBytes = None,
    net_out_bytes: NetOutBytes = None,
) -> None:
    """A session with the mail store ended; the figures are the process's while it went on."""
