"""One question to the databases: who, from where, and what is known by now.

`Request` is made for a login, for a master's lookup or for a list, and goes through the passdbs
and userdbs, which may rename the user and add fields.  ``values`` is what templates may mention;
``scope`` carries the fields that all events of category ``auth`` share, and follows renames.
"""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.events.event import Scope
from pillarbox.wire.auth.params import AuthParams

_SCOPE = (
    "service",
    "session",
    "client_id",
    "remote_ip",
    "local_ip",
    "remote_port",
    "local_port",
    "real_remote_ip",
    "real_local_ip",
    "real_remote_port",
    "real_local_port",
    "local_name",
    "transport",
)
USERDB_PREFIX = "userdb_"


class Request:
    """See the module.  ``user`` is "" until a name is known.

    ``fields`` are the passdb's, with ``userdb_`` ones among them; ``authenticated`` is true once
    a passdb has said that the user is who it claims to be.

    In a master login ``master_user`` is the master and ``login_user`` whom it wants to become;
    ``user`` is the master while it is ``becoming``, and then the other.
    """

    __slots__ = (
        "_facts",
        "authenticated",
        "becoming",
        "fields",
        "login_user",
        "master_user",
        "mechanism",
        "original_user",
        "params",
        "scope",
        "user",
    )

    def __init__(self, params: AuthParams, parent: Scope, mechanism: str | None = None) -> None:
        self.params = params
        self.mechanism = mechanism
        self.user = ""
        self.original_user = ""
        self.login_user: str | None = None
        self.master_user: str | None = None
        self.fields: dict[str, str] = {}
        self.authenticated = False
        self.becoming = False
        self._facts = params.facts()
        known = {name: self._facts[name] for name in _SCOPE}
        self.scope = Scope(parent, mechanism=mechanism, **known)

    def identify(self, original: str, normal: str) -> None:
        """The name that the client gave, and its normal form."""
        self.original_user = original
        self.user = normal
        self.scope.set(user=normal, original_user=original, translated_user=normal)

    def call_original(self, name: str) -> None:
        """The name that the client gave, where it is more than the user's."""
        self.original_user = name
        self.scope.set(original_user=name)

    def act_for(self, user: str) -> None:
        """The user is a master who wants to become another."""
        self.login_user, self.master_user, self.becoming = user, self.user, True
        self.scope.set(login_user=user, master_user=self.user)

    def become(self) -> None:
        """The master has proven itself: from now on it is the other user."""
        assert self.login_user is not None
        self.master_user, self.user, self.becoming = self.user, self.login_user, False
        self.fields = {n: v for n, v in self.fields.items() if not n.startswith(USERDB_PREFIX)}
        self.scope.set(user=self.user, master_user=self.master_user)

    def rename(self, user: str) -> None:
        """A database says that the user is really called so."""
        self.user = user
        self.scope.set(user=user)

    def values(self) -> dict[str, object]:
        """Every variable that templates may mention; None where not known."""
        values: dict[str, object] = dict(self._facts)
        values["user"] = self.user
        values["original_user"] = self.original_user
        values["login_user"] = self.login_user
        values["master_user"] = self.master_user
        values["mechanism"] = self.mechanism
        values["protocol"] = self.params.service
        values["secured"] = {"insecure": None, "secured": "secured", "TLS": "TLS"}[
            self.params.transport
        ]
        for name, value in self.params.forward.items():
            values[f"forward_{name}"] = values[f"passdb:forward_{name}"] = value
        values["forward_*"] = None
        for name, value in self.fields.items():
            values[f"passdb:{name}"] = value
        return values

    def prefetched(self) -> dict[str, str]:
        """The userdb fields that the passdb gave."""
        return split_userdb(self.fields)


def split_userdb(fields: Mapping[str, str]) -> dict[str, str]:
    """The ``userdb_`` fields without their prefix."""
    cut = len(USERDB_PREFIX)
    return {n[cut:]: v for n, v in fields.items() if n.startswith(USERDB_PREFIX) and n[cut:]}
