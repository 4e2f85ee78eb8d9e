"""Annotations of a user's mailboxes, and of the server as that user sees it (RFC 5464).

They are keys of a dict: the one that mail_attribute_dict names, or else a file beside the user's
mail, which is made when the first annotation is set.  A key holds the mailbox's GUID, so a rename
moves nothing and a name that is used again inherits nothing:
``priv/annotation/USER/GUID/comment`` is /private/comment.  The server's have ``server`` for a GUID.

Some entries are not in the dict: those of the server that settings give, which are read-only, and
/private/specialuse, which stands for the mailbox's special uses (RFC 6154 section 4).

A dict that cannot be used now is a `Temporary` error, and the log says why.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from pillarbox.drivers.dict.api import Change, Dict, DictError, Set, Unset
from pillarbox.events.event import Scope
from pillarbox.mailstore.dicts import Dicts
from pillarbox.mailstore.errors import (
    AnnotationTooLarge,
    InvalidAnnotation,
    MailError,
    NoPermission,
    OverQuota,
    Temporary,
    TooManyAnnotations,
)
from pillarbox.mailstore.list import MailboxEntry
from pillarbox.mailstore.special_use import special_uses
from pillarbox.runtime.log import log
from pillarbox.wire.imap.metadata import name_problem

if TYPE_CHECKING:
    from pillarbox.mailstore.user import MailUser

FILE: Final = "annotations"

_SCOPES: Final = {"private": "priv", "shared": "shared"}
_OF_SETTINGS: Final = frozenset(["/shared/comment", "/shared/admin"])
_SPECIAL_USE: Final = "/private/specialuse"
_FEW: Final = 4


class Annotations:
    """One user's.  An entry's name may be in any case; those that are given back are in lower case.

    ``of`` is a mailbox, or None for the server.
    """

    def __init__(self, user: MailUser, dicts: Dicts) -> None:
        self._user = user
        self._dicts = dicts
        self._setting = asyncio.Lock()
        self._scope = user.scope

    def within(self, scope: Scope) -> Annotations:
        """The same for one piece of work, in whose scope the events of dicts stand."""
        those = copy.copy(self)
        those._scope = scope
        return those

    async def get(self, of: MailboxEntry | None, name: str) -> bytes | None:
        """One value.  Raises Temporary."""
        return (await self.values(of, (name,))).get(name.lower())

    async def values(self, of: MailboxEntry | None, names: Iterable[str]) -> dict[str, bytes]:
        """The values of those that have one.  Raises Temporary."""
        wanted = [name.lower() for name in names if name_problem(name) is None]
        if len(wanted) > _FEW:
            present = await self._all(of)
            return {name: present[name] for name in wanted if name in present}
        known = self._known(of)
        found: dict[str, bytes] = {}
        for name in wanted:
            value = known.get(name)
            if value is None and not _is_elsewhere(of, name):
                value = await self._get(_key(self._user.name, of, name))
            if value is not None:
                found[name] = value
        return found

    async def below(
        self, of: MailboxEntry | None, names: Iterable[str], depth: int | None = None
    ) -> dict[str, bytes]:
        """These and what is up to ``depth`` levels below them, by name.  Raises Temporary."""
        wanted = [name.lower() for name in names]
        present = await self._all(of)
        return {
            name: present[name]
            for name in sorted(present)
            if any(_reaches(base, name, depth) for base in wanted)
        }

    async def set(self, of: MailboxEntry | None, changes: Mapping[str, bytes | None]) -> None:
        """Give entries values, or with None take them away: all or none, durable on return.

        Raises InvalidAnnotation, NoPermission, AnnotationTooLarge, TooManyAnnotations, OverQuota,
        UnsupportedUse, NoSuchMailbox, Temporary.
        """
        values = {name.lower(): value for name, value in changes.items()}
        limit = self._user.settings.mail_attribute_max_value_size
        for name, value in values.items():
            problem = name_problem(name)
            if problem is not None:
                raise InvalidAnnotation(problem)
            if of is None and name in _OF_SETTINGS:
                raise NoPermission(f"{name} is read-only")
            if value is not None and len(value) > limit:
                raise AnnotationTooLarge(f"A value is larger than {limit} bytes")
        async with self._setting:
            if of is None or _SPECIAL_USE not in values:
                await self._store(of, values)
                return
            mailboxes = self._user.mailboxes
            uses = special_uses((values.pop(_SPECIAL_USE) or b"").decode("latin-1").split())
            await mailboxes.set_special_use(of.guid, uses)
            try:
                await self._store(of, values)
            except MailError:
                await mailboxes.set_special_use(of.guid, of.special_use, chosen=of.chosen)
                raise

    async def forget(self, of: MailboxEntry) -> None:
        """The mailbox is gone, and its annotations with it.

        Those that cannot be removed now stay where nothing will ask for them.
        """
        try:
            names = await self._stored(of)
            await self._commit(Unset(_key(self._user.name, of, name)) for name in names)
        except Temporary:
            return

    async def copy(self, source: MailboxEntry, target: MailboxEntry) -> None:
        """Give a mailbox the annotations of another one.

        Raises TooManyAnnotations, OverQuota, Temporary.
        """
        async with self._setting:
            await self._store(target, await self._stored(source))

    # -- parts ----------------------------------------------------------------------------------

    def _known(self, of: MailboxEntry | None) -> dict[str, bytes]:
        """What the server knows by itself."""
        if of is not None:
            uses = self._user.mailboxes.special_use(of)
            return {_SPECIAL_USE: " ".join(uses).encode()} if uses else {}
        settings = self._user.settings
        told = {
            "/shared/comment": settings.mail_server_comment,
            "/shared/admin": settings.mail_server_admin,
        }
        return {name: value.encode() for name, value in told.items() if value}

    async def _all(self, of: MailboxEntry | None) -> dict[str, bytes]:
        return {**await self._stored(of), **self._known(of)}

    async def _store(self, of: MailboxEntry | None, values: Mapping[str, bytes | None]) -> None:
        keys = {_key(self._user.name, of, name): value for name, value in values.items()}
        if any(value is not None for value in keys.values()):
            await self._check_bounds(of, keys)
        await self._commit(
            Unset(key) if value is None else Set(key, value) for key, value in keys.items()
        )

    async def _check_bounds(
        self, of: MailboxEntry | None, changes: Mapping[str, bytes | None]
    ) -> None:
        """More than there may be can only become less.  Raises TooManyAnnotations, OverQuota."""
        settings = self._user.settings
        present = {_place(None), *map(_place, self._user.mailboxes.entries())}
        stored = await self._under("")
        before = {key: _size(key, v) for key, v in stored.items() if _where(key) in present}
        after = {key: size for key, size in before.items() if key not in changes}
        after |= {key: _size(key, value) for key, value in changes.items() if value is not None}
        counts = [sum(_where(key) == _place(of) for key in keys) for keys in (before, after)]
        limit = settings.mail_attribute_max_count
        if counts[1] > max(limit, counts[0]):
            raise TooManyAnnotations(f"There may be no more than {limit} annotations")
        total = settings.mail_attribute_max_total_size
        if total and sum(after.values()) > max(total, sum(before.values())):
            raise OverQuota(f"All annotations together may not be larger than {total} bytes")

    # -- the dict -------------------------------------------------------------------------------

    async def _get(self, key: str) -> bytes | None:
        try:
            dictionary = await self._dict(write=False)
            return None if dictionary is None else await dictionary.get(key)
        except DictError as error:
            raise self._failed(error) from error

    async def _stored(self, of: MailboxEntry | None) -> dict[str, bytes]:
        """All that are in the dict, by name."""
        found = await self._under(f"{_place(of)}/")
        return {_name(key): value for key, value in found.items()}

    async def _under(self, rest: str) -> dict[str, bytes]:
        """The user's keys that begin with this."""
        found: dict[str, bytes] = {}
        try:
            dictionary = await self._dict(write=False)
            if dictionary is None:
                return found
            for scope in _SCOPES.values():
                prefix = f"{_user_prefix(scope, self._user.name)}{rest}"
                found.update(await dictionary.iterate(prefix))
        except DictError as error:
            raise self._failed(error) from error
        return found

    async def _commit(self, changes: Iterable[Change]) -> None:
        wanted = list(changes)
        if not wanted:
            return
        try:
            dictionary = await self._dict(write=any(isinstance(one, Set) for one in wanted))
            if dictionary is not None:
                await dictionary.commit(wanted)
        except DictError as error:
            raise self._failed(error) from error

    async def _dict(self, *, write: bool) -> Dict | None:
        """The dict; None if there is none yet and nothing will be written.  Raises DictError."""
        user, block = self._user, self._user.settings.mail_attribute_dict
        if not block and not write and not (user.mail_path / FILE).exists():
            return None
        return await self._dicts.get(
            user.settings, block, user, f"%{{mail_path}}/{FILE}", scope=self._scope
        )

    def _failed(self, error: DictError) -> Temporary:
        log.error(self._user.scope, f"annotations: {error}")
        if error.uncertain:
            return Temporary("It is not known whether annotations were changed, look again later")
        return Temporary("Annotations can't be used now, try again later")


def _is_elsewhere(of: MailboxEntry | None, name: str) -> bool:
    """Whether this is not in the dict."""
    return name in _OF_SETTINGS if of is None else name == _SPECIAL_USE


def _place(of: MailboxEntry | None) -> str:
    return "server" if of is None else of.guid.hex()


def _user_prefix(scope: str, user: str) -> str:
    return f"{scope}/annotation/{quote(user, safe='@')}/"


def _key(user: str, of: MailboxEntry | None, name: str) -> str:
    _, scope, rest = name.split("/", 2)
    return f"{_user_prefix(_SCOPES[scope], user)}{_place(of)}/{rest}"


def _where(key: str) -> str:
    """The place in a key."""
    return key.split("/", 4)[3]


def _name(key: str) -> str:
    """The annotation's name."""
    scope, _, _, _, rest = key.split("/", 4)
    return f"/{'private' if scope == 'priv' else scope}/{rest}"


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value)


def _reaches(base: str, name: str, depth: int | None) -> bool:
    if name == base:
        return True
    rest = name[len(base) + 1 :]
    return name.startswith(f"{base}/") and (depth is None or rest.count("/") < depth)
