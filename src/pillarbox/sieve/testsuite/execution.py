"""Carries results out into the mailboxes and the outbox of a `Bench`.

What delivery does for real is done here in memory: a failed store ends in the inbox and is told,
a refusal becomes a message to the sender, vacation answers everybody once, and programs are run
by the bench, if it can.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pillarbox.sieve.extensions.enotify import Notify
from pillarbox.sieve.extensions.fcc import FileCopy
from pillarbox.sieve.extensions.programs import Pipe, RunProgram
from pillarbox.sieve.extensions.report import Report
from pillarbox.sieve.extensions.vacation import Vacation
from pillarbox.sieve.interpreter import Run
from pillarbox.sieve.message import Message
from pillarbox.sieve.multiscript import Step
from pillarbox.sieve.outgoing import (
    Stamp,
    abuse_report,
    notification,
    redirected,
    reject_message,
    vacation_reply,
)
from pillarbox.sieve.result import FileInto, Keep, Redirect, Reject
from pillarbox.sieve.testsuite.bench import Bench, Sent, Stored, lowered


def execute(bench: Bench, run: Run, now: datetime) -> list[str]:
    """Do what is to be done and was not done before; what went wrong."""
    errors: list[str] = []
    for step in bench.steps(run.result):
        implicit = isinstance(step.action, Keep) and step.action.implicit
        mark = id(step.result) if implicit else id(step.action)
        if mark in bench.done:
            continue
        bench.done.add(mark)
        _Execution(bench, run, now, step, errors).act()
    for result in (run.result, *bench.results):
        bench.remember(result.duplicates)
    return errors


class _Execution:
    def __init__(
        self, bench: Bench, run: Run, now: datetime, step: Step, errors: list[str]
    ) -> None:
        self.bench = bench
        self.run = run
        self.stamp = Stamp(now, f"<{len(bench.outbox)}.{now:%Y%m%d%H%M%S}@testsuite.invalid>")
        self.action = step.action
        self.data = step.result.message(step.action.version)
        self.errors = errors

    @property
    def own_address(self) -> str:
        """Whose scripts these are."""
        addresses = self.run.environment.addresses
        return addresses[0] if addresses else self.run.envelope.recipient or ""

    def act(self) -> None:
        """Carry the action out."""
        match self.action:
            case Keep(flags=flags):
                self.store("INBOX", flags)
            case FileInto() as action:
                self.file_into(action)
            case Redirect() as action:
                self.redirect(action)
            case Reject() as action:
                self.reject(action)
            case Vacation() as action:
                self.vacation(action)
            case Notify() as action:
                self.notify(action)
            case Pipe() as action:
                self.pipe(action)
            case Report() as action:
                sender = self.run.environment.postmaster
                envelope = self.run.envelope
                data = abuse_report(
                    action, self.data, self.stamp, sender, self.stamp.date, envelope
                )
                self.send(sender, (action.address,), data)

    def store(self, mailbox: str, flags: tuple[str, ...] | None) -> None:
        self.bench.mailboxes[mailbox].append(Stored(self.data, flags or ()))

    def target(
        self, name: str, create: bool, special_use: str | None, mailbox_id: str | None
    ) -> str | None:
        """The mailbox that is meant, None if there is none."""
        bench = self.bench
        for other in bench.mailboxes:
            if mailbox_id and bench.mailbox_id(other) == mailbox_id:
                return other
            if special_use and special_use.lower() in bench.special_uses.get(other, ()):
                return other
        name = bench.mailbox_name(name)
        if name in bench.mailboxes:
            return name
        if not create:
            return None
        bench.mailboxes[name] = []
        if special_use:
            bench.special_uses[name] = lowered((special_use,))
        return name

    def file_into(self, action: FileInto) -> None:
        mailbox = self.target(action.mailbox, action.create, action.special_use, action.mailbox_id)
        if mailbox is None:
            self.errors.append(f"failed to store into mailbox '{action.mailbox}': no such mailbox")
            mailbox = "INBOX"
        self.store(mailbox, action.flags)

    def send(
        self,
        sender: str,
        recipients: tuple[str, ...],
        data: bytes,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.bench.outbox.append(Sent(sender, recipients, data, dict(options or {})))

    def redirect(self, action: Redirect) -> None:
        sender = self.run.envelope.sender or ""
        addresses: tuple[str, ...] = (action.address,)
        if "list" in action.options:
            addresses = self.bench.list_members(action.address)
        for address in addresses:
            data = redirected(self.data, self.own_address)
            self.send(sender, (address,), data, action.options)

    def reject(self, action: Reject) -> None:
        sender = self.run.envelope.sender
        if not sender:
            return
        postmaster = self.run.environment.postmaster or "postmaster@localhost"
        host = postmaster.rpartition("@")[2]
        recipient = self.run.envelope.recipient or self.own_address
        original = Message(self.data)
        data = reject_message(action, original, self.stamp, sender, recipient, host, postmaster)
        self.send("", (sender,), data)

    def vacation(self, action: Vacation) -> None:
        key = (action.handle, action.recipient.lower())
        if action.withheld or key in self.bench.answered:
            return
        if action.seconds:
            self.bench.answered.add(key)
        data = vacation_reply(action, Message(self.data), self.stamp)
        self.send("", (action.recipient,), data)
        self.file_copy(data)

    def notify(self, action: Notify) -> None:
        if action.withheld or not action.recipients:
            return
        data = notification(action, Message(self.data), self.stamp, self.own_address)
        self.send(action.envelope_sender, action.recipients, data)
        self.file_copy(data)

    def pipe(self, action: Pipe) -> None:
        bench = self.bench
        question = RunProgram("pipe", action.program, action.arguments, self.data)
        if bench.run_program(bench.settings, question).success or action.attempt:
            return
        self.errors.append(f"failed to pipe message to program '{action.program}'")
        if not action.copy:
            self.store("INBOX", None)

    def file_copy(self, data: bytes) -> None:
        copy: FileCopy | None = self.action.options.get("fcc")
        if copy is None:
            return
        mailbox = self.target(copy.mailbox, copy.create, copy.special_use, copy.mailbox_id)
        self.bench.mailboxes[mailbox or "INBOX"].append(Stored(data, copy.flags))
