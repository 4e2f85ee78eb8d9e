"""What scripts do with a message at delivery: where it is stored, whether it is taken at all."""

from __future__ import annotations

from pathlib import Path

from sieve_world import MAIL, NOBODY, World

from pillarbox.delivery.outcome import Kind
from pillarbox.settings.model import DictBlockSettings, SieveListSettings
from pillarbox.wire.smtp.address import Address


def test_no_script(world: World) -> None:
    assert world.deliver().mailbox == "INBOX"
    assert [line.text for line in world.lines] == ["msgid=<1@example.net>: saved mail to INBOX"]


def test_an_empty_script_keeps(world: World) -> None:
    world.script("")
    assert world.deliver()[:4] == (Kind.STORED, "Saved", None, "INBOX")
    (line,) = world.lines
    assert line.level == "info"
    assert line.text.endswith("sieve: stored mail into mailbox 'INBOX' (main: keep)")


def test_fileinto(world: World) -> None:
    world.script(
        'require ["fileinto", "mailbox", "imap4flags"];\n'
        'if header :contains "subject" "hello" {\n'
        '  fileinto :create :flags ["\\\\Seen", "Work", "\\\\Nonsense"] "Lists/ä";\n'
        "}\n"
    )
    assert world.deliver().mailbox == "Lists/ä"
    ((data, flags),) = world.mail()["Lists/ä"]
    assert data.startswith(b"Return-Path: <ann@example.net>\r\nDelivered-To: bob@example.com\r\n")
    assert data.endswith(MAIL)
    assert flags == ("\\Seen", "Work")
    assert "stored mail into mailbox 'Lists/ä' (main: line 3: fileinto)" in world.log()


def test_copy_keeps_too(world: World) -> None:
    world.script('require ["fileinto", "copy"]; fileinto :copy "Archive";')
    world.deliver()
    assert world.counts() == {"Archive": 1, "INBOX": 1}


def test_the_same_mailbox_twice_is_one_message(world: World) -> None:
    world.script('require "fileinto"; fileinto "Inbox"; keep; fileinto "Archive";')
    world.deliver()
    assert world.counts() == {"Archive": 1, "INBOX": 1}


def test_the_one_message_has_the_flags_of_both(world: World) -> None:
    world.script(
        'require ["fileinto", "imap4flags"];\n'
        'keep :flags ["\\\\Flagged", "a"]; fileinto :flags ["a", "b"] "INBOX";'
    )
    world.deliver()
    ((_, flags),) = world.mail()["INBOX"]
    assert flags == ("\\Flagged", "a", "b")


def test_a_missing_mailbox_falls_back_to_keep(world: World) -> None:
    world.script('require "fileinto"; fileinto "None"; fileinto "Also none";')
    assert world.deliver().mailbox == "INBOX"
    assert world.counts() == {"INBOX": 1}
    assert "failed to store into mailbox 'None': Mailbox doesn't exist: None" in world.log()


def test_a_missing_mailbox_is_made_where_settings_say_so(world: World) -> None:
    world.settings(lda_mailbox_autocreate=True, lda_mailbox_autosubscribe=True)
    world.script('require "fileinto"; fileinto "New";')
    assert world.deliver().mailbox == "New"


def test_special_use_and_mailbox_id(world: World) -> None:
    world.script(
        'require ["fileinto", "special-use", "mailbox", "copy"];\n'
        'fileinto :copy :specialuse "\\\\Junk" "Elsewhere";\n'
        'fileinto :copy :specialuse "\\\\Important" :create "Weighty";\n'
        'if specialuse_exists "\\\\Trash" { fileinto :copy "Trash"; }\n'
        'if specialuse_exists "Trash" "\\\\Junk" { discard; }\n'
        'if mailboxexists ["Sent", "INBOX"] { fileinto :copy "Sent"; }\n'
        'if mailboxexists ["Sent", "None"] { discard; }\n'
    )
    world.deliver()
    assert world.counts() == {"INBOX": 1, "Junk": 1, "Weighty": 1, "Trash": 1, "Sent": 1}

    async def look(user: object, delivery: object) -> tuple[tuple[str, ...], str]:
        entry = user.mailboxes.get("Weighty")  # type: ignore[attr-defined]
        return entry.special_use, entry.guid.hex()

    uses, guid = world.do(look)
    assert uses == ("\\Important",)
    world.script(
        'require ["fileinto", "mailboxid"];\n'
        f'if mailboxidexists "{guid}" {{ fileinto :mailboxid "{guid}" "Elsewhere"; }}\n'
        'if mailboxidexists "abc" { discard; }\n'
    )
    assert world.deliver().mailbox == "Weighty"


def test_discard(world: World) -> None:
    world.script("discard;")
    outcome = world.deliver()
    assert (outcome.kind, outcome.mailbox) == (Kind.STORED, None)
    assert world.counts() == {}
    assert world.log().endswith("sieve: discarded (main: line 1: discard)")


def test_a_script_instead_of_discarding(world: World) -> None:
    world.script("discard;")
    world.place("bin", "discard", 'require "fileinto"; fileinto "Trash";')
    assert world.deliver().mailbox == "Trash"


def test_edited_header(world: World) -> None:
    world.script(
        'require ["editheader", "fileinto", "copy"];\n'
        'fileinto :copy "Archive";\n'
        'addheader "X-Seen" "yes";\ndeleteheader "subject";\n'
    )
    world.deliver()
    mail = world.mail()
    assert mail["Archive"][0][0].endswith(MAIL)
    ((kept, _),) = mail["INBOX"]
    assert kept.startswith(b"X-Seen: yes\r\nReturn-Path")
    assert b"Subject" not in kept


def test_detail(world: World) -> None:
    world.settings(lmtp_save_to_detail_mailbox=True)
    world.script(
        'require ["envelope", "subaddress", "variables", "fileinto"];\n'
        'if envelope :detail :matches "to" "*" { set "detail" "${1}"; }\n'
        'if string "${detail}" "Archive" { fileinto "${detail}"; }\n'
    )
    assert world.deliver(recipient=Address("bob+Archive", "example.com")).mailbox == "Archive"
    assert world.deliver(recipient=Address("bob+Sent", "example.com")).mailbox == "INBOX"


def test_runtime_error_keeps(world: World) -> None:
    world.script(
        'require ["fileinto", "variables"];\nset "a" "not an address";\n'
        'fileinto "Archive";\nredirect "${a}";\n'
    )
    assert world.deliver().mailbox == "INBOX"
    assert world.counts() == {"INBOX": 1}
    assert "main: line 4: error: specified redirect address 'not an address'" in world.log()


def test_a_broken_script_keeps(world: World) -> None:
    world.script('fileinto "Archive";')
    assert world.deliver().mailbox == "INBOX"
    assert "sieve: main: line 1: error: " in world.log()


def test_quota(world: World) -> None:
    world.settings(quota_storage_size=1, quota_storage_grace=0)
    world.script('require "fileinto"; fileinto "Archive";')
    assert world.deliver().kind is Kind.OVER_QUOTA


def test_sequence(world: World) -> None:
    world.place("first", "before", 'require ["fileinto", "copy"]; fileinto :copy "Sent";')
    world.script('require "editheader"; addheader "X-Mine" "1";')
    world.place("last", "after", 'require "fileinto"; if exists "x-mine" { fileinto "Archive"; }')
    world.place("default", "default", "discard;")
    world.deliver()
    assert world.counts() == {"Archive": 1, "Sent": 1}
    assert b"X-Mine: 1" in world.mail()["Archive"][0][0]


def test_a_script_before_can_have_the_last_word(world: World) -> None:
    world.place("first", "before", 'require "fileinto"; fileinto "Junk";')
    world.script("discard;")
    world.deliver()
    assert world.counts() == {"Junk": 1}


def test_default_script(world: World) -> None:
    world.place("default", "default", 'require "fileinto"; fileinto "Archive";')
    assert world.deliver().mailbox == "Archive"
    world.script("keep;")
    assert world.deliver().mailbox == "INBOX"


def test_include(world: World) -> None:
    world.script(
        'require ["include", "variables"];\nglobal "box"; set "box" "Archive";\n'
        'include :personal "mine"; include :global "theirs"; include :optional "none";\n'
    )
    world.script(
        'require ["include", "variables", "fileinto", "copy"]; global "box";\n'
        'fileinto :copy "${box}";\n',
        "mine",
        active=False,
    )
    world.place("theirs", "global", 'require "fileinto"; fileinto "Junk";')
    world.deliver()
    assert world.counts() == {"Archive": 1, "Junk": 1}
    world.script("syntax error", "mine", active=False)
    assert world.deliver().mailbox == "INBOX"
    assert "include" in world.log()


def test_duplicate_survives_restarts(world: World) -> None:
    world.script('require ["duplicate", "fileinto"]; if duplicate { fileinto "Trash"; }')
    assert world.deliver().mailbox == "INBOX"
    assert world.deliver().mailbox == "Trash"
    assert world.deliver(MAIL.replace(b"<1@", b"<2@")).mailbox == "INBOX"
    assert (world.home / ".sieve-memory").exists()


def test_a_memory_for_all_users(world: World, tmp_path: Path) -> None:
    shared = DictBlockSettings(driver="file", dict_file_path=str(tmp_path / "memory"))
    world.settings(sieve_dict="shared", dict={"shared": shared})
    world.script('require ["duplicate", "fileinto"]; if duplicate { fileinto "Trash"; }')
    assert world.deliver().mailbox == "INBOX"
    assert world.deliver().mailbox == "Trash"
    assert (tmp_path / "memory").exists()
    assert not (world.home / ".sieve-memory").exists()


def test_a_broken_memory_loses_nothing(world: World) -> None:
    world.settings(sieve_dict="none")
    world.script('require ["duplicate"]; if duplicate { discard; }')
    assert world.deliver().mailbox == "INBOX"
    assert world.deliver().mailbox == "INBOX"
    assert "there is no dict 'none' in the settings" in world.log()


def test_limits(world: World) -> None:
    world.settings(sieve_max_actions=2, sieve_max_redirects=1)
    world.script('require "fileinto"; fileinto "a"; fileinto "b"; fileinto "c";')
    assert world.deliver().mailbox == "INBOX"
    assert "total number of actions exceeds policy limit" in world.log()
    world.script('redirect "a@example.net"; redirect "b@example.net";')
    assert world.deliver().mailbox == "INBOX"
    assert not world.outbox.sent


HEAVY = (
    'require ["variables", "fileinto"];\nset "a" "' + "ab" * 1900 + '";\n'
    + 'if string :matches "${a}" ["*b*a*b*c", "*a*b*a*c"] { discard; }\n' * 2500
    + 'fileinto "Archive";\n'
)  # fmt: skip


def test_a_heavy_script_is_run_in_a_thread(world: World) -> None:
    world.script(HEAVY)
    assert world.deliver().mailbox == "Archive"


def test_a_heavy_script_is_stopped(world: World) -> None:
    world.settings(sieve_max_cpu_time=0.001)
    world.script(HEAVY)
    assert world.deliver().mailbox == "INBOX"
    assert "execution exceeded the CPU time limit" in world.log()


def test_extensions_by_setting(world: World) -> None:
    world.settings(sieve_extensions=("-fileinto",), sieve_global_extensions=("vnd.dovecot.pipe",))
    world.script('require "fileinto"; fileinto "Archive";')
    assert world.deliver().mailbox == "INBOX"
    world.script('require "vnd.dovecot.pipe"; pipe "x";')
    assert world.deliver().mailbox == "INBOX"
    assert "vnd.dovecot.pipe" in world.log()


def test_environment_and_envelope(world: World) -> None:
    world.settings(sieve_env={"level": "gold"}, sieve_user_email="bob@home.example")
    world.script(
        'require ["environment", "vnd.dovecot.environment", "envelope", "envelope-dsn",'
        ' "fileinto", "variables", "vnd.dovecot.debug"];\n'
        'debug_log "user ${env.vnd.dovecot.username} in ${env.vnd.dovecot.default_mailbox}";\n'
        'if allof(environment "name" "Pillarbox", environment "location" "MDA",\n'
        '  environment "host" "mx.example.com", environment "domain" "example.com",\n'
        '  environment "remote-ip" "192.0.2.1", environment "remote-host" "client.example.net",\n'
        '  environment "vnd.dovecot.config.level" "gold", environment "phase" "during",\n'
        '  envelope "from" "ann@example.net", envelope "to" "bob@example.com",\n'
        '  envelope "ret" "HDRS", envelope "notify" "NEVER")\n'
        '{ fileinto "Archive"; }\n'
    )
    outcome = world.deliver(mail_param_ret="HDRS", rcpt_param_notify="NEVER")
    assert outcome.mailbox == "Archive"
    assert "DEBUG: user bob@example.com in INBOX" in world.log()
    assert world.deliver(sender=NOBODY).mailbox == "INBOX"


def test_lists(world: World) -> None:
    world.settings(
        sieve_extlists_list={
            "friends": SieveListSettings(members=("Ann@example.net",)),
            "stored": SieveListSettings(dict="lists"),
        },
        dict={"lists": DictBlockSettings(driver="memory")},
    )
    world.script(
        'require ["extlists", "fileinto"];\n'
        'if allof(valid_ext_list ["friends", "stored"], address :list "from" "friends",\n'
        '  not address :list "from" ["stored", "none"], not valid_ext_list "none")\n'
        '{ fileinto "Archive"; }\n'
    )
    assert world.deliver().mailbox == "Archive"


def test_keep_is_put_off_until_the_last_script(world: World) -> None:
    world.place("first", "before", "keep;")
    world.script('require ["fileinto"]; fileinto "Archive";')
    world.deliver()
    assert world.counts() == {"Archive": 1}
