"""What settings make of service descriptions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.runtime.privileges import IdentityError
from pillarbox.runtime.service import InetListener, ServiceSpec, UnixListener
from pillarbox.services.master.group import must_replace
from pillarbox.services.master.plan import InetSocket, UnixSocket, cores, make_plan
from pillarbox.settings.model import (
    InetListenerSettings,
    ServiceSettings,
    Settings,
    UnixListenerSettings,
)

SPEC = ServiceSpec(
    name="imap_login",
    module="m",
    process_limit=0,
    client_limit=100,
    unix_listeners=(UnixListener("login"), UnixListener("each/{index}", 0o660)),
    inet_listeners=(InetListener("imap", 143), InetListener("imaps", 993, ssl=True)),
    protocol="imap",
)


def settings(**more: Any) -> Settings:
    nobody = {
        "default_login_user": "",
        "default_internal_user": "",
        "default_internal_group": "",
    }
    return msgspec.structs.replace(Settings(), base_dir="/b", listen=("*",), **{**nobody, **more})


def of(service: ServiceSettings | None = None, **more: Any) -> Any:
    blocks = {} if service is None else {"imap_login": service}
    return make_plan(settings(service=blocks, **more), [SPEC])["imap_login"]


def test_defaults() -> None:
    plan = of()
    assert (plan.processes, plan.client_limit) == (cores(), 100)
    assert plan.sockets == (
        UnixSocket("login", Path("/b/login"), 0o600, -1, -1),
        InetSocket("imap", "*", 143, False, False),
    )
    assert plan.own_sockets[0] == (UnixSocket("each/0", Path("/b/each/0"), 0o660, -1, -1),)
    assert len(plan.own_sockets) == plan.processes


def test_tls_listeners_need_a_certificate() -> None:
    assert InetSocket("imaps", "*", 993, True, False) in of(ssl_server_cert_file="/c").sockets
    assert len(of(ssl_server_cert_file="/c", ssl="no").sockets) == 2


def test_what_the_settings_change() -> None:
    plan = of(
        ServiceSettings(
            process_limit=3,
            client_limit=7,
            restart_delay=2.0,
            unix_listener={
                "login": UnixListenerSettings(mode=0),
                "each/{index}": UnixListenerSettings(path="other/{index}", mode=0o666),
                "new": UnixListenerSettings(),
            },
            inet_listener={
                "imap": InetListenerSettings(port=1143, address=("::1", "127.0.0.1"), haproxy=True),
                "imaps": InetListenerSettings(port=0),
                "third": InetListenerSettings(port=2143),
            },
        ),
        ssl_server_cert_file="/c",
    )
    assert (plan.processes, plan.client_limit, plan.restart_delay) == (3, 7, 2.0)
    assert plan.sockets == (
        UnixSocket("new", Path("/b/new"), 0o600, -1, -1),
        InetSocket("imap", "::1", 1143, False, True),
        InetSocket("imap", "127.0.0.1", 1143, False, True),
        InetSocket("third", "*", 2143, False, False),
    )
    assert plan.own_sockets[2] == (UnixSocket("each/2", Path("/b/other/2"), 0o666, -1, -1),)


def test_a_protocol_that_is_not_served_has_no_processes() -> None:
    assert make_plan(settings(protocols=("lmtp",)), [SPEC]) == {}


def test_only_what_a_process_cannot_be_told_needs_a_new_one() -> None:
    assert not must_replace(of(), of(login_greeting="Hi"))
    assert must_replace(of(), of(ServiceSettings(client_limit=7)))
    moved = {"imap": InetListenerSettings(port=1143)}
    assert must_replace(of(), of(ServiceSettings(inet_listener=moved)))


@pytest.mark.skipif(os.geteuid() != 0, reason="without root identities are ignored")
def test_identities_for_root() -> None:
    plan = of(ServiceSettings(user="nobody", group="0", extra_groups=("daemon",)))
    assert plan.identity.uid == 65534
    assert plan.identity.gid == 0
    assert set(plan.identity.groups) == {0, 1}
    with pytest.raises(IdentityError, match=r"service.imap_login.user: there is no system user"):
        of(ServiceSettings(user="no-such-user"))
    with pytest.raises(IdentityError, match="there is no system group"):
        of(ServiceSettings(user="nobody", group="no-such-group"))


@pytest.mark.skipif(os.geteuid() != 0, reason="without root identities are ignored")
def test_shared_sockets_need_a_group_to_share() -> None:
    shared = ServiceSpec("anvil", "m", unix_listeners=(UnixListener("anvil", 0o660, shared=True),))
    together = make_plan(
        settings(default_internal_user="nobody", default_internal_group="daemon"), [shared]
    )
    assert together["anvil"].sockets == (UnixSocket("anvil", Path("/b/anvil"), 0o660, 65534, 1),)
    with pytest.raises(IdentityError, match="default_internal_user"):
        make_plan(settings(default_login_user="nobody"), [shared])
