"""Annotations of mailboxes and of the server: values, bounds, what becomes of them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.drivers.dict import fail
from pillarbox.drivers.dict.fail import FailDict
from pillarbox.drivers.dict.memory import MemoryDict
from pillarbox.mailstore import errors
from pillarbox.mailstore.annotations import FILE
from pillarbox.mailstore.list import MailboxEntry
from pillarbox.mailstore.user import MailUser, Users
from pillarbox.settings.model import DictBlockSettings, Settings

COMMENT = "/private/comment"
Work = Callable[[MailUser], Coroutine[Any, Any, None]]


@pytest.fixture
def run(open_user: Any) -> Callable[..., None]:
    """Run ``work(user)`` with the user open."""

    def go(work: Work, **settings: Any) -> None:
        async def main() -> None:
            async with open_user(**settings) as user:
                await work(user)

        asyncio.run(main())

    return go


def of(user: MailUser, name: str) -> MailboxEntry:
    entry = user.mailboxes.get(name)
    assert entry is not None
    return entry


def test_values_survive(run: Callable[..., None]) -> None:
    async def write(user: MailUser) -> None:
        inbox = of(user, "INBOX")
        assert await user.annotations.get(inbox, COMMENT) is None
        values = {"/Private/Comment": b"mine\0", "/shared/comment": b"ours"}
        await user.annotations.set(inbox, values)
        await user.annotations.set(None, {COMMENT: b"the server"})
        await user.annotations.set(of(user, "Sent"), {COMMENT: b""})

    async def read(user: MailUser) -> None:
        inbox = of(user, "INBOX")
        names = (COMMENT, "/SHARED/comment", "/private/other", "/private")
        found = {COMMENT: b"mine\0", "/shared/comment": b"ours"}
        assert await user.annotations.values(inbox, names) == found
        many = (*names, "/private/1", "/private/2")
        assert await user.annotations.values(inbox, many) == found
        assert await user.annotations.get(None, COMMENT) == b"the server"
        assert await user.annotations.get(of(user, "Sent"), COMMENT) == b""
        await user.annotations.set(inbox, {COMMENT: None, "/private/none": None})
        assert await user.annotations.get(inbox, COMMENT) is None

    run(write)
    run(read)


def test_nothing_is_made_to_read_or_remove(run: Callable[..., None], tmp_path: Path) -> None:
    async def work(user: MailUser) -> None:
        inbox = of(user, "INBOX")
        assert await user.annotations.below(inbox, ("/private", "/shared")) == {}
        await user.annotations.set(inbox, {COMMENT: None})
        await user.delete_mailbox("Trash")
        assert not (user.mail_path / FILE).exists()

    run(work)


def test_depth(run: Callable[..., None]) -> None:
    names = ["/private/a", "/private/a/b", "/private/a/b/c", "/private/ab", "/shared/a/b"]

    async def work(user: MailUser) -> None:
        inbox, annotations = of(user, "INBOX"), user.annotations
        await annotations.set(inbox, dict.fromkeys(names, b"x"))

        async def found(bases: tuple[str, ...], depth: int | None) -> list[str]:
            return list(await annotations.below(inbox, bases, depth))

        assert await found(("/private/a",), 0) == names[:1]
        assert await found(("/private/A",), 1) == names[:2]
        assert await found(("/private/a",), None) == names[:3]
        assert await found(("/private",), 1) == ["/private/a", "/private/ab"]
        assert await found(("/shared", "/private/a/b", "/private/a"), None) == [
            *names[:3],
            "/shared/a/b",
        ]

    run(work)


def test_what_the_server_knows(run: Callable[..., None]) -> None:
    async def work(user: MailUser) -> None:
        annotations, sent = user.annotations, of(user, "Sent")
        assert await annotations.get(sent, "/private/specialuse") == b"\\Sent"
        assert await annotations.get(of(user, "INBOX"), "/private/specialuse") is None
        assert await annotations.below(None, ("/shared",)) == {
            "/shared/admin": b"mailto:root@example.com",
            "/shared/comment": "Grüße".encode(),
        }
        for name in ("/shared/admin", "/shared/Comment"):
            with pytest.raises(errors.NoPermission):
                await annotations.set(None, {name: b"x", COMMENT: b"x"})
            assert await annotations.get(None, COMMENT) is None
        await annotations.set(sent, {"/shared/comment": b"of a mailbox"})

    run(work, mail_server_comment="Grüße", mail_server_admin="mailto:root@example.com")


def test_special_uses(run: Callable[..., None], logged: list[Any]) -> None:
    name = "/private/specialuse"

    async def uses(user: MailUser, mailbox: str) -> bytes | None:
        value = await user.annotations.get(of(user, mailbox), name)
        listed = user.mailboxes.special_use(of(user, mailbox))
        assert value == (" ".join(listed).encode() or None)
        return value

    async def change(user: MailUser) -> None:
        annotations = user.annotations
        await user.mailboxes.create("Out")
        await annotations.set(of(user, "Out"), {name: b"\\sent  \\Archive", COMMENT: b"x"})
        await annotations.set(of(user, "Sent"), {name: None})
        await annotations.set(of(user, "Junk"), {name.upper(): b""})
        for wrong in (b"\\All", b"\\Flagged", b"\\Nonsense", b"\xff"):
            with pytest.raises(errors.UnsupportedUse) as caught:
                await annotations.set(of(user, "Out"), {name: wrong, COMMENT: b"y"})
            assert caught.value.code == b"USEATTR"
        assert await annotations.get(of(user, "Out"), COMMENT) == b"x"

    async def look(user: MailUser) -> None:
        assert await uses(user, "Out") == b"\\Sent \\Archive"
        assert await uses(user, "Sent") is None
        assert await uses(user, "Junk") is None
        assert await uses(user, "Trash") == b"\\Trash"

    async def fail_half_way(user: MailUser) -> None:
        for mailbox in ("Out", "Sent", "Trash"):
            with pytest.raises(errors.Temporary):
                await user.annotations.set(of(user, mailbox), {name: b"\\Drafts", COMMENT: b"x"})

    async def alone(user: MailUser) -> None:
        await user.annotations.set(of(user, "Sent"), {name: b"\\Sent"})
        assert await uses(user, "Sent") == b"\\Sent"

    run(change)
    run(look)
    broken: dict[str, Any] = {
        "dict": {"fail": DictBlockSettings()},
        "mail_attribute_dict": "fail",
    }
    run(fail_half_way, **broken)
    run(look)
    run(alone, **broken)


def test_special_uses_outlive_the_list(run: Callable[..., None], tmp_path: Path) -> None:
    async def change(user: MailUser) -> None:
        for mailbox, value in (("Sent", None), ("Archive", b"\\Junk")):
            user.release_mailbox(user.open_mailbox(mailbox))
            await user.annotations.set(of(user, mailbox), {"/private/specialuse": value})
        (user.mail_path / "mailboxes.json").unlink()

    async def look(user: MailUser) -> None:
        assert user.mailboxes.special_use(of(user, "Sent")) == ()
        assert user.mailboxes.special_use(of(user, "Archive")) == ("\\Junk",)

    run(change)
    run(look)


def test_bounds(run: Callable[..., None]) -> None:
    async def work(user: MailUser) -> None:
        inbox, annotations = of(user, "INBOX"), user.annotations
        await annotations.set(inbox, {COMMENT: b"x" * 1024})
        with pytest.raises(errors.AnnotationTooLarge):
            await annotations.set(inbox, {"/private/a": b"x", COMMENT: b"x" * 1025})
        await annotations.set(inbox, {f"/shared/{n}": b"" for n in range(9)})
        with pytest.raises(errors.TooManyAnnotations) as caught:
            await annotations.set(inbox, {"/private/a": b"x", COMMENT: b"new"})
        assert caught.value.code == b"METADATA TOOMANY"
        assert await annotations.get(inbox, COMMENT) == b"x" * 1024
        await annotations.set(inbox, {"/private/a": b"x", COMMENT: None})
        await annotations.set(inbox, {"/private/a": b"y"})
        await annotations.set(of(user, "Sent"), {COMMENT: b"x"})
        for name in ("/private", "/other/a", "/private/a//b", "/private/ä", "/private/vendor/x"):
            with pytest.raises(errors.InvalidAnnotation):
                await annotations.set(inbox, {name: b"x"})

    run(work, mail_attribute_max_value_size=1024, mail_attribute_max_count=10)


def test_all_together(run: Callable[..., None]) -> None:
    async def work(user: MailUser) -> None:
        annotations = user.annotations
        await annotations.set(of(user, "INBOX"), {COMMENT: b"x" * 1500})
        await annotations.set(None, {"/shared/x/server/y": b"x" * 1000})
        for where in (None, of(user, "INBOX"), of(user, "Sent")):
            with pytest.raises(errors.OverQuota):
                await annotations.set(where, {"/private/a": b"x" * 600})
        await user.rename_mailbox("INBOX", "Old")
        assert await annotations.get(of(user, "Old"), COMMENT) == b"x" * 1500
        assert await annotations.get(of(user, "INBOX"), COMMENT) is None
        user.settings = msgspec.structs.replace(user.settings, mail_attribute_max_total_size=2000)
        await annotations.set(of(user, "Old"), {COMMENT: b"x" * 1499})
        with pytest.raises(errors.OverQuota):
            await annotations.set(of(user, "Old"), {COMMENT: b"x" * 1501})
        await user.delete_mailbox("Old")
        await annotations.set(of(user, "Sent"), {"/private/a": b"x" * 600})

    run(work, mail_attribute_max_total_size=3000)


def test_what_stayed_of_a_deleted_mailbox_does_not_count(run: Callable[..., None]) -> None:
    async def work(user: MailUser) -> None:
        await user.annotations.set(of(user, "Trash"), {COMMENT: b"x" * 2500})
        await user.mailboxes.delete("Trash")
        await user.annotations.set(None, {COMMENT: b"x" * 2500})

    run(work, mail_attribute_max_total_size=3000)


def test_many_set_at_once_stay_within_the_bounds(run: Callable[..., None]) -> None:
    async def work(user: MailUser) -> None:
        inbox, annotations = of(user, "INBOX"), user.annotations
        sets = [annotations.set(inbox, {f"/private/{n}": b"x"}) for n in range(20)]
        done = await asyncio.gather(*sets, return_exceptions=True)
        assert sum(isinstance(one, errors.TooManyAnnotations) for one in done) == 10
        assert len(await annotations.below(inbox, ("/private",))) == 10

    run(work, mail_attribute_max_count=10)


def test_they_follow_the_mailbox(run: Callable[..., None]) -> None:
    async def work(user: MailUser) -> None:
        annotations = user.annotations
        await user.mailboxes.create("Work")
        await annotations.set(of(user, "Work"), {COMMENT: b"work", "/shared/a": b"a"})
        await annotations.set(of(user, "INBOX"), {COMMENT: b"inbox"})
        await user.rename_mailbox("Work", "Play")
        assert await annotations.get(of(user, "Play"), COMMENT) == b"work"
        await user.rename_mailbox("INBOX", "Old")
        assert await annotations.get(of(user, "Old"), COMMENT) == b"inbox"
        assert await annotations.get(of(user, "INBOX"), COMMENT) == b"inbox"
        assert of(user, "INBOX").guid != of(user, "Old").guid
        gone = of(user, "Play")
        await user.delete_mailbox("Play")
        assert await annotations.below(gone, ("/private", "/shared")) == {}
        await user.mailboxes.create("Play")
        assert await annotations.get(of(user, "Play"), COMMENT) is None

    run(work)


def test_one_dict_for_all_users(
    open_user: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared = MemoryDict()
    monkeypatch.setattr(fail, "make", lambda settings, path: shared)

    async def main() -> None:
        block = {"all": DictBlockSettings(driver="fail")}
        async with open_user(dict=block, mail_attribute_dict="all") as user:
            await user.annotations.set(None, {COMMENT: b"bob", "/shared/comment2": b"too"})
            inbox = of(user, "INBOX")
            await user.annotations.set(inbox, {COMMENT: b"x"})
            assert not (user.mail_path / FILE).exists()
        assert [key for key, _ in await shared.iterate("")] == [
            f"priv/annotation/bob/{inbox.guid.hex()}/comment",
            "priv/annotation/bob/server/comment",
            "shared/annotation/bob/server/comment2",
        ]

    asyncio.run(main())


NAMES = ["/private/a", "/private/a/b", "/private/a/b/c", "/private/ab", "/shared/a", "/shared/a/b"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "INBOX", "Work"]),
            st.dictionaries(st.sampled_from(NAMES), st.none() | st.binary(max_size=4), max_size=7),
        ),
        max_size=8,
    ),
    st.sampled_from([0, 1, 2, None]),
)
def test_as_a_model_says(
    steps: list[tuple[str | None, dict[str, bytes | None]]], depth: int | None
) -> None:
    """Any changes, compared with plain dictionaries."""

    async def main(folder: str) -> None:
        users = Users()
        user = await users.acquire("bob", {"home": folder}, Settings())
        await user.mailboxes.create("Work")
        model: dict[str | None, dict[str, bytes]] = {None: {}, "INBOX": {}, "Work": {}}
        for mailbox, changes in steps:
            entry = None if mailbox is None else of(user, mailbox)
            await user.annotations.set(entry, changes)
            kept = {**model[mailbox], **changes}
            model[mailbox] = {name: value for name, value in kept.items() if value is not None}
        for mailbox, expected in model.items():
            entry = None if mailbox is None else of(user, mailbox)
            assert await user.annotations.values(entry, NAMES) == expected
            for base in ("/private", "/private/a", "/shared/a"):
                levels = base.count("/")
                assert await user.annotations.below(entry, (base,), depth) == {
                    name: value
                    for name, value in expected.items()
                    if f"{name}/".startswith(f"{base}/")
                    and (depth is None or name.count("/") - levels <= depth)
                }
        users.release(user)
        await users.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(folder))


def test_a_broken_dict(run: Callable[..., None], logged: list[Any]) -> None:
    async def work(user: MailUser) -> None:
        inbox, annotations = of(user, "INBOX"), user.annotations
        for call in (
            annotations.get(inbox, COMMENT),
            annotations.below(inbox, ("/private",)),
            annotations.set(inbox, {COMMENT: b"x"}),
            annotations.set(inbox, {COMMENT: None}),
        ):
            with pytest.raises(errors.Temporary) as caught:
                await call
            assert caught.value.text == "Annotations can't be used now, try again later"
        await user.delete_mailbox("Trash")
        assert user.mailboxes.get("Trash") is None
        assert await annotations.get(of(user, "Sent"), "/private/specialuse") == b"\\Sent"

    run(work, dict={"fail": DictBlockSettings()}, mail_attribute_dict="fail")
    assert {line.text for line in logged} == {"annotations: the dict is made to fail"}
    assert len(logged) == 5


def test_a_block_that_is_not_there(run: Callable[..., None], logged: list[Any]) -> None:
    async def work(user: MailUser) -> None:
        with pytest.raises(errors.Temporary):
            await user.annotations.get(None, COMMENT)

    run(work, mail_attribute_dict="none")
    (line,) = logged
    assert line.text == "annotations: there is no dict 'none' in the settings"


def test_random_failures_lose_nothing_acknowledged(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    inner = MemoryDict()
    monkeypatch.setattr(
        fail, "make", lambda settings, path: FailDict(inner, rate=0.3, slow=2, seed=7)
    )

    async def work(user: MailUser) -> None:
        inbox, annotations = of(user, "INBOX"), user.annotations
        certain: dict[str, bytes] = {}
        unknown = 0
        for number in range(60):
            name = f"/private/{number}"
            try:
                await annotations.set(inbox, {name: b"x"})
                certain[name] = b"x"
            except errors.Temporary as error:
                unknown += error.text.startswith("It is not known")
        stored = {f"/private/{k.rpartition('/')[2]}": v for k, v in await inner.iterate("priv/")}
        assert certain.items() <= stored.items()
        assert 0 < len(certain) < 60
        assert unknown
        assert len(stored) <= len(certain) + unknown

    run(work, dict={"fail": DictBlockSettings()}, mail_attribute_dict="fail")
