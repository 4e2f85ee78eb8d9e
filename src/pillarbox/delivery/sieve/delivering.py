"""The case of a message that is delivered: what scripts may know of it and of how it came."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from pillarbox.delivery.actions import FileInto
from pillarbox.delivery.envelope import Envelope, Trace
from pillarbox.delivery.log_line import DeliveryLog
from pillarbox.delivery.message import Facts
from pillarbox.delivery.sieve.case import Case
from pillarbox.delivery.sieve.language import texts_of
from pillarbox.delivery.spool import Buffer
from pillarbox.events.event import Scope
from pillarbox.mailstore.dicts import user_values
from pillarbox.mailstore.user import MailUser
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings
from pillarbox.settings.variables import expand
from pillarbox.sieve.environment import Envelope as SieveEnvelope
from pillarbox.sieve.environment import Environment
from pillarbox.wire.smtp.address import Address, split_detail

_PARAMETERS: Final = {
    "ret": "mail_param_ret",
    "envid": "mail_param_envid",
    "notify": "rcpt_param_notify",
    "orcpt": "rcpt_param_orcpt",
}


class Around:
    """What is the same for all messages as long as the settings are."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.hostname = settings.hostname or socket.gethostname()
        domain = self.hostname.partition(".")[2] or self.hostname
        self.postmaster = settings.postmaster_address or f"postmaster@{domain}"
        self.texts = texts_of(settings)
        self._items = {
            "name": "Pillarbox",
            "version": _version(),
            "host": self.hostname,
            "domain": domain,
            "phase": "during",
            **{f"vnd.dovecot.config.{k.lower()}": v for k, v in settings.sieve_env.items()},
        }

    def environment(
        self, user: str, address: str, default: str, items: Mapping[str, str]
    ) -> Environment:
        """The environment of one run; ``items`` are those of its own."""
        settings = self.settings
        return Environment(
            items={
                **self._items,
                "vnd.dovecot.default-mailbox": default,
                "vnd.dovecot.username": user,
                **items,
            },
            user=user,
            addresses=(address,) if address else (),
            postmaster=self.postmaster,
            default_mailbox=default,
            recipient_delimiter=settings.recipient_delimiter,
            settings=self.texts,
        )


def delivery_case(
    around: Around,
    user: MailUser,
    envelope: Envelope,
    trace: Trace | None,
    scope: Scope,
    log: Log,
    facts: Facts,
    data: Buffer,
    own: int,
    keep: FileInto,
) -> Case:
    """The case of a delivery; ``own`` octets of ``data`` are ours.  Raises VariableError."""
    settings = around.settings
    recipient = str(envelope.recipient)
    address = user_address(user, settings, envelope.recipient)
    items = {"location": "MDA", **_remote(trace)}
    octets = data if isinstance(data, bytes) else bytes(data)
    return Case(
        user=user,
        settings=settings,
        scope=scope,
        log=log,
        teller=DeliveryLog(log, settings, scope, envelope, facts, len(octets)),
        data=octets,
        own=own,
        message_id=facts.message_id,
        envelope=SieveEnvelope(
            None if envelope.sender is None else str(envelope.sender),
            recipient,
            _text(scope, "mail_param_auth"),
            envelope.original,
            _Parameters(scope),
        ),
        environment=around.environment(user.name, address, keep.mailbox, items),
        address=address,
        hostname=around.hostname,
        keep=keep,
    )


def user_address(user: MailUser, settings: Settings, recipient: Address | None) -> str:
    """The user's own address; "" if nothing tells.  Raises VariableError."""
    if settings.sieve_user_email:
        values = user_values(user.name, user.fields, settings)
        return expand(settings.sieve_user_email, values).strip("<> ")
    if "@" in user.name:
        return user.name
    if recipient is None:
        return ""
    local, _, _ = split_detail(recipient.local, settings.recipient_delimiter)
    return str(Address(local, recipient.domain))


def _remote(trace: Trace | None) -> dict[str, str]:
    if trace is None:
        return {}
    found = {"remote-host": trace.client, "remote-ip": trace.remote_ip}
    return {name: value for name, value in found.items() if value}


class _Parameters(Mapping[str, str]):
    """ESMTP parameters, looked for when a script asks for them."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __getitem__(self, name: str) -> str:
        value = _text(self._scope, _PARAMETERS[name])
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name, field in _PARAMETERS.items() if self._scope.get(field) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _text(scope: Scope, field: str) -> str | None:
    value = scope.get(field)
    return None if value is None else str(value)


@lru_cache(maxsize=1)
def _version() -> str:
    try:
        return version("pillarbox")
    except PackageNotFoundError:
        return ""
