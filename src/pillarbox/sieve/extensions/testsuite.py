"""vnd.dovecot.testsuite: tests for scripts, written in Sieve.

``test "name" { … }`` is one test; it fails at ``test_fail``, or if a command in it cannot do its
work.  Each begins without results and sent mail; message, envelope, settings, mailboxes and
variables stay as earlier tests left them.  Actions may stand in the test file itself or in scripts
that ``test_script_run`` runs: the results of both are looked at and carried out together.

All that these commands change is the `Bench` of the run.  The extension is optional: no script of
a user may require it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pillarbox.sieve.compiled import dump, load
from pillarbox.sieve.errors import SieveRunError
from pillarbox.sieve.extensions.duplicate import Answers
from pillarbox.sieve.interpreter import Run
from pillarbox.sieve.message import Message
from pillarbox.sieve.multiscript import goes_on
from pillarbox.sieve.registry import (
    KEYS,
    NUMBER,
    STRING,
    STRINGS,
    Asking,
    CommandSpec,
    Extension,
    Positional,
    TagSpec,
    TestSpec,
)
from pillarbox.sieve.result import FileInto, Result
from pillarbox.sieve.script import Script, compile
from pillarbox.sieve.testsuite.bench import Bench, Binary, Outcome
from pillarbox.sieve.testsuite.configuration import (
    TESTSUITE,
    capabilities_of,
    environment_of,
    limits_of,
)
from pillarbox.sieve.testsuite.execution import execute

if TYPE_CHECKING:
    from pillarbox.sieve.nodes import Node
    from pillarbox.sieve.validator import Validator

_OBJECTS: Final = ("message", "envelope.from", "envelope.to", "envelope.auth", "envelope.orig_to")


def _bench(run: Run) -> Bench:
    return run.state(Bench)


# Tests and what they set up


def _test(run: Run, node: Node) -> Asking[None]:
    bench = _bench(run)
    outcome = Outcome(run.text(node.text("name")), node.position.line)
    _reset(run, node)
    bench.active = outcome
    frame = run.frame
    try:
        yield from run.block(node.block)
    except SieveRunError as error:
        outcome.passed = False
        outcome.reason = error.message
        where = error.position.line or (run.node.position.line if run.node else 0)
        outcome.failed_line = where
        run.frame = frame
    bench.active = None
    bench.outcomes.append(outcome)


def _check_test(v: Validator, node: Node) -> None:
    if any(outer.name == "test" for outer in v.enclosing):
        v.error(node.position, "a test cannot stand within another test")


def _fail(run: Run, node: Node) -> None:
    raise SieveRunError(run.text(node.text("reason")), node.position)


def _check_set(v: Validator, node: Node) -> None:
    name = node.text("object").constant
    if name is not None and name.lower() not in _OBJECTS:
        v.error(node.text("object").position, f"unknown testsuite object '{name[:80]}'")


def _set(run: Run, node: Node) -> None:
    value = run.text(node.text("value"))
    bare = value.strip().removeprefix("<").removesuffix(">")
    match run.text(node.text("object")).lower():
        case "message":
            run.message.replace(value.encode("utf-8", "surrogateescape"))
        case "envelope.from":
            run.envelope = replace(run.envelope, sender=bare)
        case "envelope.to":
            run.envelope = replace(run.envelope, recipient=bare)
        case "envelope.auth":
            run.envelope = replace(run.envelope, auth=value)
        case "envelope.orig_to":
            run.envelope = replace(run.envelope, original_recipient=bare)
        case other:
            raise SieveRunError(f"unknown testsuite object '{other[:80]}'", node.position)


def _config_set(run: Run, node: Node) -> None:
    bench = _bench(run)
    bench.settings[run.text(node.text("setting"))] = run.text(node.text("value"))
    _apply_settings(run, node)


def _config_unset(run: Run, node: Node) -> None:
    _bench(run).settings.pop(run.text(node.text("setting")), None)
    _apply_settings(run, node)


def _apply_settings(run: Run, node: Node) -> None:
    """Settings are read when they are used: there is nothing else to reload."""
    run.environment = environment_of(_bench(run).settings, run.environment)


def _metadata_set(run: Run, node: Node) -> None:
    bench = _bench(run)
    mailbox: str | None = None
    if "mailbox" in node.tags:
        mailbox = run.text(node.tags["mailbox"].text())
    elif "mailbox" in node.arguments:
        mailbox = run.text(node.text("mailbox"))
    where = bench.mailbox_name(mailbox) if mailbox else None
    annotation = run.text(node.text("annotation")).lower()
    bench.metadata[where, annotation] = run.text(node.text("value"))


def _mailbox_create(run: Run, node: Node) -> None:
    bench = _bench(run)
    bench.mailboxes.setdefault(bench.mailbox_name(run.text(node.text("mailbox"))), [])


def _mailbox_delete(run: Run, node: Node) -> None:
    bench = _bench(run)
    name = bench.mailbox_name(run.text(node.text("mailbox")))
    if bench.mailboxes.pop(name, None) is None:
        raise SieveRunError(f"there is no mailbox '{name[:80]}' to delete", node.position)
    bench.special_uses.pop(name, None)
    if name == "INBOX":
        bench.mailboxes["INBOX"] = []


# Scripts


def _compiled(run: Run, name: str) -> Script | None:
    bench = _bench(run)
    source = bench.load("test", name)
    if source is None:
        raise SieveRunError(f"the script '{name[:80]}' was not found beside the test file")
    script, diagnostics = compile(
        source, name, capabilities_of(bench.settings), limits_of(bench.settings), bench.load
    )
    bench.messages = [d.message for d in diagnostics if d.severity == "error"]
    return script


def _script_compile(run: Run, node: Node) -> bool:
    bench = _bench(run)
    bench.script = _compiled(run, run.text(node.text("script")))
    return bench.script is not None


def _run(run: Run, script: Script, data: bytes) -> Asking[Result]:
    bench = _bench(run)
    inner = Run(
        script,
        Message(data),
        run.envelope,
        run.environment,
        limits_of(bench.settings),
    )
    result = yield from inner.execute()
    if result.error is not None:
        bench.messages.append(result.error.message)
    return result


def _script_run(run: Run, node: Node) -> Asking[bool]:
    bench = _bench(run)
    if bench.script is None:
        raise SieveRunError("no script was compiled before", node.position)
    if "append_result" not in node.tags:
        _reset(run, node)
    bench.messages = []
    result = yield from _run(run, bench.script, run.message.snapshot().render())
    bench.results.append(result)
    return result.error is None


def _multiscript(run: Run, node: Node) -> Asking[bool]:
    bench = _bench(run)
    if "append_result" not in node.tags:
        _reset(run, node)
    data = run.message.snapshot().render()
    told: list[str] = []
    for name in run.texts(node.texts("scripts")):
        script = _compiled(run, name)
        if script is None:
            return False
        bench.messages = told
        result = yield from _run(run, script, data)
        bench.results.append(result)
        if not goes_on(result):
            break
        data = result.message(result.final_version)
    bench.messages = told
    return not told


def _errors(run: Run, node: Node) -> list[str]:
    return _indexed(node, _bench(run).messages)


def _indexed(node: Node, values: Sequence[str]) -> list[str]:
    use = node.tags.get("index")
    if use is None:
        return list(values)
    number: int = use.value
    return list(values[number - 1 : number])


def _check_index(v: Validator, node: Node) -> None:
    use = node.tags.get("index")
    if use is not None and use.value < 1:
        v.error(use.position, f"the {node.name} test counts from one")


def _binary_save(run: Run, node: Node) -> None:
    bench = _bench(run)
    if bench.script is None:
        raise SieveRunError("no script was compiled before", node.position)
    script = bench.script
    octets = dump(script, capabilities_of(bench.settings))
    if octets is None:
        raise SieveRunError("the script has no compiled form", node.position)
    bench.binaries[run.text(node.text("name"))] = Binary(script.name, script.source, octets)


def _binary_load(run: Run, node: Node) -> None:
    bench = _bench(run)
    name = run.text(node.text("name"))
    saved = bench.binaries.get(name)
    if saved is None:
        raise SieveRunError(f"no script was saved as '{name[:80]}'", node.position)
    settings = bench.settings
    bench.script = load(
        saved.octets,
        saved.source,
        saved.name,
        capabilities_of(settings),
        limits_of(settings),
        bench.load,
    )
    if bench.script is None:
        raise SieveRunError(f"the script saved as '{name[:80]}' is no longer valid", node.position)


# Results


def _actions(run: Run, node: Node) -> list[str]:
    """Names of the actions; a fileinto is called "store" too, if a key wants it so."""
    store = "store" in (key.lower() for key in run.texts(node.texts("keys")))
    names = [
        "store" if store and isinstance(step.action, FileInto) else step.action.name
        for step in _bench(run).steps(run.result)
    ]
    return _indexed(node, names)


def _result_execute(run: Run, node: Node) -> Asking[bool]:
    bench = _bench(run)
    run.result.final_version = run.message.version
    run.result.versions.setdefault(run.message.version, run.message.snapshot())
    now = yield from run.now()
    errors = execute(bench, run, now)
    run.state(Answers).known.clear()
    bench.messages += errors
    return not errors


def _reset(run: Run, node: Node) -> None:
    _bench(run).forget_results()
    run.result.actions.clear()
    run.result.duplicates.clear()
    run.state(Answers).known.clear()
    run.result.implicit_keep = True


def _result_print(run: Run, node: Node) -> None:
    bench = _bench(run)
    for number, step in enumerate(bench.steps(run.result), 1):
        bench.say(f"{number}: {step.action.describe()} ({step.action.location})")


def _find_message(run: Run, node: Node) -> bool:
    bench = _bench(run)
    at = node.number("index")
    if "smtp" in node.tags:
        if at >= len(bench.outbox):
            return False
        sent = bench.outbox[at]
        recipient = sent.recipients[0] if sent.recipients else None
        run.envelope = replace(run.envelope, sender=sent.sender, recipient=recipient)
        run.message.replace(sent.data)
        return True
    use = node.group("source")
    name = "INBOX" if use is None else run.text(use.text())
    stored = bench.mailboxes.get(bench.mailbox_name(name), [])
    if at >= len(stored):
        return False
    run.message.replace(stored[at].data)
    return True


def _take_message(run: Run, node: Node) -> None:
    if not _find_message(run, node):
        where = node.group("source")
        kind = where.spec.name if where is not None else "mailbox"
        raise SieveRunError(f"there is no :{kind} message {node.number('index')}", node.position)


def _check_source(v: Validator, node: Node) -> None:
    if node.group("source") is None:
        v.error(node.position, f"{node.name} needs one of the tags :smtp, :folder and :mailbox")


def _message_print(run: Run, node: Node) -> None:
    _bench(run).say(run.message.snapshot().render().decode("utf-8", "replace"))


_NAME = (Positional("name", STRING),)
_SETTING = Positional("setting", STRING)
_VALUE = Positional("value", STRING)
_MAILBOX = (Positional("mailbox", STRING),)
_INDEX = TagSpec("index", NUMBER)
_SOURCES = (
    TagSpec("smtp", group="source"),
    TagSpec("folder", STRING, group="source"),
    TagSpec("mailbox", STRING, group="source"),
)
_NUMBER = (Positional("index", NUMBER),)
_APPEND = TagSpec("append_result")

EXTENSION = Extension(
    TESTSUITE,
    optional=True,
    commands=(
        CommandSpec("test", _test, _NAME, block=True, validate=_check_test),
        CommandSpec("test_fail", _fail, (Positional("reason", STRING),)),
        CommandSpec("test_set", _set, (Positional("object", STRING), _VALUE), validate=_check_set),
        CommandSpec("test_config_set", _config_set, (_SETTING, _VALUE)),
        CommandSpec("test_config_unset", _config_unset, (_SETTING,)),
        CommandSpec("test_config_reload", _apply_settings, tags=(TagSpec("extension", STRING),)),
        CommandSpec("test_result_reset", _reset),
        CommandSpec("test_result_print", _result_print),
        CommandSpec("test_mailbox_create", _mailbox_create, _MAILBOX),
        CommandSpec("test_mailbox_delete", _mailbox_delete, _MAILBOX),
        CommandSpec("test_message", _take_message, _NUMBER, tags=_SOURCES, validate=_check_source),
        CommandSpec("test_message_print", _message_print),
        CommandSpec("test_binary_save", _binary_save, _NAME),
        CommandSpec("test_binary_load", _binary_load, _NAME),
        CommandSpec(
            "test_imap_metadata_set",
            _metadata_set,
            (
                Positional("mailbox", STRING, optional=True),
                Positional("annotation", STRING),
                _VALUE,
            ),
            tags=(TagSpec("mailbox", STRING),),
        ),
    ),
    tests=(
        TestSpec("test_script_compile", _script_compile, arguments=(Positional("script", STRING),)),
        TestSpec("test_script_run", _script_run, tags=(_APPEND,)),
        TestSpec(
            "test_multiscript",
            _multiscript,
            arguments=(Positional("scripts", STRINGS),),
            tags=(_APPEND,),
        ),
        TestSpec(
            "test_error",
            values=_errors,
            arguments=(KEYS,),
            tags=(_INDEX,),
            keys="keys",
            validate=_check_index,
        ),
        TestSpec(
            "test_result_action",
            values=_actions,
            arguments=(KEYS,),
            tags=(_INDEX,),
            keys="keys",
            validate=_check_index,
        ),
        TestSpec("test_result_execute", _result_execute),
        TestSpec(
            "test_message", _find_message, arguments=_NUMBER, tags=_SOURCES, validate=_check_source
        ),
    ),
)
