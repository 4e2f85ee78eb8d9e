"""Settings of name lookups.

Whoever needs an address asks the dns_worker service, which remembers answers for as long as they
may be remembered; these settings are those of both ends.
"""

from __future__ import annotations

from typing import Annotated

from pillarbox.settings.schema.base import HOUR, MINUTE, SECOND, Doc
from pillarbox.settings.schema.http_client import HttpClientSettings


class DnsSettings(HttpClientSettings, frozen=True, kw_only=True):
    """The DNS client and its worker."""

    dns_client_timeout: Annotated[
        float, Doc("How long a process waits for the DNS worker's answer.", kind="time")
    ] = 10 * SECOND
    dns_nameservers: Annotated[
        tuple[str, ...],
        Doc(
            "Addresses of name servers, such as `192.0.2.53` or `[2001:db8::53]:5353`; none: "
            "those of `/etc/resolv.conf`."
        ),
    ] = ()
    dns_hosts_file: Annotated[
        str, Doc("File of names that are known without asking; empty: none.", kind="file")
    ] = "/etc/hosts"
    dns_request_timeout: Annotated[
        float, Doc("How long the worker tries name servers for one lookup.", kind="time")
    ] = 5 * SECOND
    dns_cache_max_entries: Annotated[
        int, Doc("Answers that the worker remembers; 0: none. The oldest are forgotten first.")
    ] = 10_000
    dns_cache_max_ttl: Annotated[
        float, Doc("How long an answer is remembered at most, whatever it says.", kind="time")
    ] = HOUR
    dns_cache_negative_ttl: Annotated[
        float, Doc("How long it is remembered at most that there is no such name.", kind="time")
    ] = MINUTE
