"""``pillarbox sieve``: check, show, try out and test Sieve scripts, without any mailbox.

Everything is done by the pure engine in `pillarbox.sieve`; here files are read, the time is told,
and what came out is printed.  Scripts that a script includes, or that a test file names, are found
beside it: by their name, or with ``.sieve`` added; those of ``include :personal`` also in the
folder ``included``, of ``include :global`` in ``included-global``.  The commands for the scripts
that a user has in place are in `sieve_scripts`.

Exit status: 0 if all is well, 1 if a test failed, 65 (EX_DATAERR) if a script is wrong.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pillarbox.cli import sieve_scripts
from pillarbox.cli.failure import DATA, FAILURE, NO_INPUT, CommandFailed
from pillarbox.cli.sieve_programs import programs_beside
from pillarbox.sieve.driver import Answer, run_script
from pillarbox.sieve.environment import Envelope, Environment
from pillarbox.sieve.errors import Diagnostic, Diagnostics
from pillarbox.sieve.message import Message
from pillarbox.sieve.parser import parse
from pillarbox.sieve.printer import print_script
from pillarbox.sieve.questions import MailboxExists, Now, Question
from pillarbox.sieve.result import Result
from pillarbox.sieve.script import Loader, Script, compile
from pillarbox.sieve.testsuite.configuration import capabilities_of
from pillarbox.sieve.testsuite.runner import Report, run_testsuite

app = typer.Typer(
    help="Check, show, try out, test and store Sieve scripts.",
    add_completion=False,
    no_args_is_help=True,
)
sieve_scripts.add_to(app)

_SENDERS = ("return-path", "sender", "from")
_RECIPIENTS = ("delivered-to", "envelope-to", "to")
_ITEMS = {
    "name": "Pillarbox",
    "location": "MDA",
    "phase": "during",
    "vnd.dovecot.default-mailbox": "INBOX",
}

_FOLDERS = {
    "test": (".",),
    "personal": (".", "included"),
    "global": ("included-global", "."),
}

ScriptFile = Annotated[Path, typer.Argument(metavar="SCRIPT", help="The script's file.")]


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}", NO_INPUT) from None


def scripts_beside(path: Path) -> Loader:
    """A loader of the scripts in a file's folder."""

    def load(location: str, name: str) -> bytes | None:
        for folder in _FOLDERS[location]:
            for file in (name, f"{name}.sieve"):
                candidate = path.parent / folder / file
                if candidate.is_file():
                    return _read(candidate)
        return None

    return load


def _compiled(path: Path) -> tuple[Script | None, list[Diagnostic]]:
    return compile(_read(path), path.name, capabilities_of({}), loader=scripts_beside(path))


def _script(path: Path) -> Script:
    script, diagnostics = _compiled(path)
    for diagnostic in diagnostics:
        typer.echo(str(diagnostic), err=True)
    if script is None:
        raise CommandFailed(f"{path} is no valid Sieve script", DATA)
    return script


@app.command()
def check(script: ScriptFile) -> None:
    """Say what is wrong with a script."""
    found, diagnostics = _compiled(script)
    for diagnostic in diagnostics:
        where = f"{diagnostic.file}:{diagnostic.line}:{diagnostic.column}"
        typer.echo(f"{where}: {diagnostic.severity}: {diagnostic.message}")
    if found is None:
        raise CommandFailed(f"{script} is no valid Sieve script", DATA)
    typer.echo(f"{script}: valid")


@app.command()
def dump(script: ScriptFile) -> None:
    """Show a script as it was understood: what it requires and includes, and its commands."""
    found = _script(script)
    typer.echo(f"# {found.name}, {len(found.source)} bytes, sha256 {found.hash}")
    typer.echo(f"# requires: {' '.join(found.capabilities) or 'nothing'}")
    for location, name, digest in found.dependencies():
        typer.echo(f"# includes {location} {name}, sha256 {digest}")
    text = found.source.decode("utf-8-sig")
    typer.echo(print_script(parse(text, Diagnostics(found.name), found.limits)), nl=False)


@app.command("test")
def try_out(
    script: ScriptFile,
    message: Annotated[
        Path, typer.Argument(metavar="MESSAGE", help="The message's file, or - for standard input.")
    ],
    trace: Annotated[bool, typer.Option("--trace", help="Show every command, too.")] = False,
    sender: Annotated[
        str | None,
        typer.Option(
            "--from",
            "-f",
            metavar="ADDRESS",
            help="Envelope sender. [default: that of Return-Path, Sender or From]",
        ),
    ] = None,
    recipient: Annotated[
        str | None,
        typer.Option(
            "--to",
            "-t",
            metavar="ADDRESS",
            help="Envelope recipient. [default: that of Delivered-To, Envelope-To or To]",
        ),
    ] = None,
) -> None:
    """Run a script for a message and say what would happen and why; nothing is carried out."""
    compiled = _script(script)
    data = re.sub(rb"\r?\n", b"\r\n", _read(message))
    asked: list[str] = []
    envelope = _envelope(Message(data), sender, recipient)
    own = (envelope.recipient,) if envelope.recipient else ()
    result = run_script(
        compiled,
        data,
        envelope,
        Environment(_items(), addresses=own),
        answer=_answers(asked),
        trace=True,
    )
    typer.echo(f"Envelope: from <{envelope.sender or ''}> to <{envelope.recipient or ''}>")
    _tell(result, trace, asked)
    if result.error is not None:
        raise CommandFailed("the script failed: the message would be kept", DATA)


def _items() -> dict[str, str]:
    from importlib.metadata import version  # takes long to import

    return {**_ITEMS, "version": version("pillarbox")}


def _envelope(message: Message, sender: str | None, recipient: str | None) -> Envelope:
    """The envelope as given, else as the message tells."""
    return Envelope(
        _first_address(message, _SENDERS) if sender is None else sender.strip("<>"),
        _first_address(message, _RECIPIENTS) if recipient is None else recipient.strip("<>"),
    )


def _first_address(message: Message, names: Sequence[str]) -> str | None:
    for name in names:
        for field in message.fields(name):
            if field.raw == b"<>":
                return ""
            for local, domain in field.addresses:
                return f"{local}@{domain}"
    return None


def _answers(asked: list[str]) -> Answer:
    def answer(question: Question) -> Any:
        if isinstance(question, Now):
            return datetime.now().astimezone()
        if isinstance(question, MailboxExists) and question.mailbox.upper() == "INBOX":
            return True
        asked.append(f"{question}, taken as {question.default!r}")
        return question.default

    return answer


def _tell(result: Result, everything: bool, asked: list[str]) -> None:
    items = [item for item in result.trace if everything or item.outcome is not None]
    if items:
        typer.echo("Why:")
    for item in items:
        typer.echo(f"{item.script}:{item}" if item.script != result.script else str(item))
    for line in asked:
        typer.echo(f"Not known here: {line}")
    for entry in [*result.log, *([result.error] if result.error else [])]:
        typer.echo(str(entry))
    typer.echo("What would happen:")
    for action in result.final_actions():
        implicit = getattr(action, "implicit", False)
        why = "implicit: no action says otherwise" if implicit else action.location
        changed = ", with the message as changed by then" if action.version else ""
        typer.echo(f"  {action.describe()} ({why}{changed})")
    if not result.final_actions():
        typer.echo("  nothing: the message is discarded")
    typer.echo(f"Cost: {result.steps} steps")


@app.command()
def testsuite(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE.svtest...", help="Files of tests, in Sieve.")
    ],
) -> None:
    """Run tests that are written in Sieve; one line per test and a summary."""
    reports = [_testsuite(path) for path in files]
    passed = sum(outcome.passed for report in reports for outcome in report.outcomes)
    failed = sum(report.failures for report in reports)
    typer.echo(f"{_count(len(files), 'file')}: {passed} passed, {failed} failed")
    if failed:
        raise typer.Exit(FAILURE)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _testsuite(path: Path) -> Report:
    report = run_testsuite(
        str(path), _read(path), scripts_beside(path), _now, programs_beside(path)
    )
    for outcome in report.outcomes:
        word = "passed" if outcome.passed else "FAILED"
        reason = "" if outcome.passed else f": {outcome.reason} (line {outcome.failed_line})"
        typer.echo(f"{word}  {path}:{outcome.line}: {outcome.name}{reason}")
        for line in outcome.output:
            typer.echo(f"        {line}")
    for line in report.output:
        typer.echo(f"        {line}")
    for diagnostic in [*report.diagnostics, *([report.error] if report.error else [])]:
        typer.echo(str(diagnostic))
    return report


def _now(question: Question) -> Any:
    return datetime.now().astimezone() if isinstance(question, Now) else question.default
