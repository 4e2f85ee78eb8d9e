"""What scripts send: redirects, refusals, answers, notices, reports."""

from __future__ import annotations

import pytest
from sieve_world import MAIL, NOBODY, World

from pillarbox.delivery.outcome import Kind

VACATION = 'require ["vacation"]; vacation :days 3 :subject "Away" "I am not here";'


def test_redirect(world: World) -> None:
    world.script('redirect "carl@example.org";')
    outcome = world.deliver()
    assert (outcome.kind, outcome.mailbox) == (Kind.STORED, None)
    (sent,) = world.outbox.sent
    assert (sent.sender, sent.recipients) == ("ann@example.net", ("carl@example.org",))
    head = b"X-Sieve-Redirected-From: bob@example.com\r\nDelivered-To: bob@example.com\r\n"
    assert sent.data.startswith(head)
    assert sent.data.endswith(MAIL)
    assert world.counts() == {}
    assert "forwarded to <carl@example.org> (main: line 1: redirect)" in world.log()


def test_a_redirect_is_done_once(world: World) -> None:
    world.script('redirect "carl@example.org";')
    world.deliver()
    world.deliver()
    assert len(world.outbox.sent) == 1
    assert world.counts() == {}
    world.deliver(MAIL.replace(b"<1@", b"<2@"))
    assert len(world.outbox.sent) == 2


def test_messages_without_an_id_are_told_apart(world: World) -> None:
    world.script('redirect "carl@example.org";')
    text = MAIL.replace(b"Message-ID: <1@example.net>\r\n", b"")
    world.deliver(text)
    world.deliver(text)
    world.deliver(text + b"More\r\n")
    assert len(world.outbox.sent) == 2


def test_a_redirect_loop_ends_in_a_keep(world: World) -> None:
    world.script('redirect "carl@example.org";')
    text = b"X-Sieve-Redirected-From: Bob@example.com\r\n" + MAIL
    assert world.deliver(text).mailbox == "INBOX"
    assert not world.outbox.sent
    assert "the message is in a loop" in world.log()


def test_a_redirect_that_is_refused_is_kept(world: World) -> None:
    world.script('redirect "carl@example.org";')
    world.outbox.kind = "refused"
    assert world.deliver().mailbox == "INBOX"
    assert "failed to forward to <carl@example.org>: The relay says no" in world.log()


def test_a_redirect_that_must_wait_makes_the_sender_wait(world: World) -> None:
    world.script('require "copy"; redirect :copy "carl@example.org"; keep;')
    world.outbox.kind = "temporary"
    assert world.deliver().kind is Kind.TEMPORARY
    assert world.counts() == {}
    world.outbox.kind = "sent"
    assert world.deliver().mailbox == "INBOX"
    assert len(world.outbox.sent) == 1


@pytest.mark.parametrize(
    ("chosen", "sender"),
    [
        ("recipient", "bob@example.com"),
        ("user_email", "bob@home.example"),
        ("postmaster", "postmaster@example.com"),
        ("<owner@example.com>", "owner@example.com"),
    ],
)
def test_envelope_sender(world: World, chosen: str, sender: str) -> None:
    world.settings(sieve_redirect_envelope_from=chosen, sieve_user_email="bob@home.example")
    world.script('redirect "carl@example.org";')
    world.deliver()
    world.deliver(MAIL.replace(b"<1@", b"<2@"), sender=NOBODY)
    assert [sent.sender for sent in world.outbox.sent] == [sender, ""]


def test_redirect_options(world: World) -> None:
    world.script(
        'require ["redirect-dsn", "redirect-deliverby"];\n'
        'redirect :notify "NEVER" :ret "HDRS" :bytimerelative 600 :bymode "RETURN" "c@example.org";'
    )
    world.deliver()
    (sent,) = world.outbox.sent
    assert sent.options == {"notify": "NEVER", "ret": "HDRS", "by_time": "600;R"}


def test_redirect_to_a_list(world: World) -> None:
    from pillarbox.settings.model import SieveListSettings

    members = ("a@example.org", "b@example.org")
    world.settings(sieve_extlists_list={"team": SieveListSettings(members=members)})
    world.script('require "extlists"; redirect :list "team";')
    world.deliver()
    assert [sent.recipients for sent in world.outbox.sent] == [(members[0],), (members[1],)]


def test_reject_by_the_protocol(world: World) -> None:
    world.script('require "reject"; reject "Not wanted";')
    assert world.deliver()[:2] == (Kind.REFUSED, "Not wanted")
    assert not world.outbox.sent
    assert world.counts() == {}
    assert "rejected: Not wanted (main: line 1: reject)" in world.log()


def test_a_reason_that_the_protocol_cannot_carry(world: World) -> None:
    world.script('require "reject"; reject "Nicht erwünscht";')
    outcome = world.deliver()
    assert (outcome.kind, outcome.mailbox) == (Kind.STORED, None)
    (sent,) = world.outbox.sent
    assert (sent.sender, sent.recipients) == ("", ("ann@example.net",))
    assert "Nicht erwünscht".encode() in sent.data
    assert b"Auto-Submitted: auto-replied" in sent.data
    world.script('require "ereject"; ereject "Nicht erwünscht";')
    assert world.deliver().kind is Kind.REFUSED
    world.script('require "reject"; reject "ü";')
    assert world.deliver(sender=NOBODY).kind is Kind.STORED
    assert len(world.outbox.sent) == 1


def test_a_reject_message_that_is_refused(world: World) -> None:
    world.script('require "reject"; reject "ü";')
    world.outbox.kind = "refused"
    assert world.deliver().mailbox == "INBOX"


def test_vacation(world: World) -> None:
    world.script(VACATION)
    assert world.deliver().mailbox == "INBOX"
    assert world.deliver().mailbox == "INBOX"
    (sent,) = world.outbox.sent
    assert (sent.sender, sent.recipients) == ("", ("ann@example.net",))
    assert b"From: bob@example.com\r\n" in sent.data
    assert b"Subject: Away\r\n" in sent.data
    assert b"In-Reply-To: <1@example.net>\r\n" in sent.data
    assert "<ann@example.net> has had one" in world.log()


@pytest.mark.parametrize(
    ("to", "tags", "sender"),
    [
        (b"alias@example.net", ':addresses "Alias@example.net"', b"Alias@example.net"),
        (b"Bob <BOB@example.com>, alias@example.net", ':addresses "alias@example.net"',
         b"bob@example.com"),
        (b"bob+work@example.com", "", b"bob+work@example.com"),
        (b"alias@example.net", ':addresses "alias@example.net" :from "b@example.org"',
         b"b@example.org"),
    ],
)  # fmt: skip
def test_the_address_that_was_written_to_answers(
    world: World, to: bytes, tags: str, sender: bytes
) -> None:
    world.script(f'require "vacation"; vacation {tags} :subject "" "x";')
    world.deliver(MAIL.replace(b"bob@example.com", to))
    (sent,) = world.outbox.sent
    assert b"From: " + sender + b"\r\n" in sent.data
    assert b"Subject: Auto: " in sent.data


@pytest.mark.parametrize(
    "change",
    [
        (b"To: bob@", b"To: other@"),
        (b"From:", b"List-Id: <x>\r\nFrom:"),
        (b"From:", b"Auto-Submitted: auto-replied\r\nFrom:"),
    ],
)
def test_who_gets_no_answer(world: World, change: tuple[bytes, bytes]) -> None:
    world.script(VACATION)
    world.deliver(MAIL.replace(*change))
    assert not world.outbox.sent
    assert "no vacation response" in world.log()


def test_nobody_gets_no_answer(world: World) -> None:
    world.script(VACATION)
    world.deliver(sender=NOBODY)
    assert not world.outbox.sent


def test_an_answer_that_fails_does_not_count(world: World) -> None:
    world.script(VACATION)
    world.outbox.kind = "temporary"
    assert world.deliver().mailbox == "INBOX"
    world.outbox.kind = "sent"
    world.deliver()
    assert len(world.outbox.sent) == 1


def test_without_a_memory_nobody_is_answered(world: World) -> None:
    world.settings(sieve_dict="none")
    world.script(VACATION)
    assert world.deliver().mailbox == "INBOX"
    assert not world.outbox.sent


def test_a_copy_of_the_answer(world: World) -> None:
    world.script(
        'require ["vacation", "fcc", "mailbox", "imap4flags"];\n'
        'vacation :fcc "Out" :create :flags "\\\\Seen" "Away";\n'
    )
    world.deliver()
    ((data, flags),) = world.mail()["Out"]
    assert data == world.outbox.sent[0].data
    assert flags == ("\\Seen",)


def test_notify(world: World) -> None:
    world.script(
        'require "enotify";\n'
        'notify :importance "1" :message "Mail!" "mailto:a@example.org?cc=b@example.org";\n'
    )
    assert world.deliver().mailbox == "INBOX"
    (sent,) = world.outbox.sent
    assert sent.sender == "bob@example.com"
    assert sent.recipients == ("a@example.org", "b@example.org")
    assert b"Subject: Mail!\r\n" in sent.data
    world.deliver(MAIL.replace(b"From:", b"Auto-Submitted: auto-notified\r\nFrom:"))
    assert len(world.outbox.sent) == 1
    world.deliver(sender=NOBODY)
    assert world.outbox.sent[-1].sender == ""


def test_report(world: World) -> None:
    world.script('require "vnd.dovecot.report";\nreport "abuse" "Spam" "abuse@example.org";\n')
    assert world.deliver().mailbox == "INBOX"
    (sent,) = world.outbox.sent
    assert (sent.sender, sent.recipients) == ("postmaster@example.com", ("abuse@example.org",))
    assert b"Feedback-Type: abuse\r\n" in sent.data
    assert b"Original-Mail-From: <ann@example.net>\r\n" in sent.data
    assert b"Original-Rcpt-To: <bob@example.com>\r\n" in sent.data
    assert MAIL in sent.data
    world.outbox.kind = "refused"
    assert world.deliver().mailbox == "INBOX"
    assert "failed to send a report" in world.log()
