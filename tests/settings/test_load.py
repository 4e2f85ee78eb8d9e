"""Reading settings files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pillarbox.settings.errors import SettingsError
from pillarbox.settings.load import decode, encode, load, read
from pillarbox.settings.model import GroupBySettings, Settings


def write(folder: Path, text: str, name: str = "pillarbox.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(write(folder, text))
    return [str(p).replace(f"{folder}/", "") for p in caught.value.problems]


def test_no_file_gives_the_defaults() -> None:
    assert load(None) == Settings()


def test_every_kind_of_value(tmp_path: Path) -> None:
    settings = load(
        write(
            tmp_path,
            """
            base_dir = "run"
            hostname = "mail.example.org"
            listen = "127.0.0.1"
            auth_mechanisms = ["plain"]
            auth_allow_cleartext = "yes"
            auth_verbose = true
            ssl = true
            imap_max_line_length = "128 KB"
            mail_max_size = 1000
            imap_idle_timeout = "45 mins"
            login_timeout = 90
            mail_uid = 1000
            imap_worker_routing = "Round-Robin"

            [service.lmtp.unix_listener.lmtp]
            mode = "0660"
            [service.lmtp.unix_listener.other]
            mode = 0o600
            [service.imap_login.inet_listener.imap]
            port = 10143
            address = ["127.0.0.1", "::1"]
            [userdb.one]
            driver = "static"
            fields = { uid = 5, home = "/srv/%{user}" }
            [mailbox.Junk]
            auto = false
            [mailbox.Spam]
            special_use = ["\\\\Junk"]
            [metric.commands]
            filter = "event=imap_command_finished"
            group_by = ["cmd_name", { field = "duration", method = "exponential" }]
            """,
        )
    )
    assert settings.base_dir == str(tmp_path / "run")
    assert settings.listen == ("127.0.0.1",)
    assert settings.auth_mechanisms == ("plain",)
    assert settings.auth_allow_cleartext is True
    assert settings.auth_verbose is True
    assert settings.ssl == "yes"
    assert settings.imap_max_line_length == 128 * 1024
    assert settings.mail_max_size == 1000
    assert settings.imap_idle_timeout == 2700.0
    assert settings.login_timeout == 90.0
    assert isinstance(settings.login_timeout, float)
    assert settings.mail_uid == "1000"
    assert settings.imap_worker_routing == "round-robin"
    assert settings.service["lmtp"].unix_listener["lmtp"].mode == 0o660
    assert settings.service["lmtp"].unix_listener["other"].mode == 0o600
    assert settings.service["imap_login"].inet_listener["imap"].address == ("127.0.0.1", "::1")
    assert settings.service["imap_login"].inet_listener["imap"].ssl is None
    assert settings.userdb["one"].fields == {"uid": "5", "home": "/srv/%{user}"}
    assert settings.mailbox["Junk"].auto == "no"
    assert settings.mailbox["Junk"].special_use == ("\\Junk",)
    assert list(settings.mailbox) == ["Drafts", "Junk", "Sent", "Trash", "Archive", "Spam"]
    assert settings.metric["commands"].group_by == (
        GroupBySettings(field="cmd_name"),
        GroupBySettings(field="duration", method="exponential"),
    )


def test_lists_of_a_few_words(tmp_path: Path) -> None:
    text = 'pop3_client_workarounds = ["Outlook-no-nuls", "oe-ns-eoh"]\n'
    settings = load(write(tmp_path, text + 'submission_client_workarounds = "mailbox-for-path"'))
    assert settings.pop3_client_workarounds == ("outlook-no-nuls", "oe-ns-eoh")
    assert settings.submission_client_workarounds == ("mailbox-for-path",)
    [problem] = problems(tmp_path, 'pop3_client_workarounds = ["outlook"]')
    assert "is one of outlook-no-nuls, oe-ns-eoh; not 'outlook'" in problem


def test_blocks_keep_the_order_of_the_file(tmp_path: Path) -> None:
    names = ["zebra", "apple", "mango"]
    text = "".join(f'[passdb.{n}]\ndriver = "static"\n' for n in names)
    assert list(load(write(tmp_path, text)).passdb) == names


def test_all_mistakes_come_out_at_once_with_their_lines(tmp_path: Path) -> None:
    assert problems(
        tmp_path,
        """\
hostnam = "x"
mail_location = "mdbox:~/mail"
imap_max_line_length = "64 kilo"
login_timeout = "soon"
ssl = "maybe"
imap_max_nesting = 1.5
auth_mechanisms = 5
auth_verbose = "perhaps"
passdb = "users"
hostname = 5
mail_home = "/srv/%{user"

[service.imap]
process_limit = -1
[service.imap.inet_listener.x]
prot = 1
[service.lmtp.unix_listener.lmtp]
mode = 660
[passdb]
driver = "sql"
""".replace('passdb = "users"\n', ""),
    ) == [
        "pillarbox.toml:1: there is no setting hostnam (did you mean hostname?)",
        "pillarbox.toml:2: there is no setting mail_location; write mail_driver and mail_path",
        "pillarbox.toml:3: imap_max_line_length cannot be understood: '64 kilo' is no size; "
        "write it as 500KB, 10MB or 2GB",
        "pillarbox.toml:4: login_timeout cannot be understood: 'soon' is no time; "
        "write it as 500ms, 30s, 5 mins, 2 hours or 1 day",
        "pillarbox.toml:5: ssl is one of no, yes, required; not 'maybe'",
        "pillarbox.toml:6: imap_max_nesting is a whole number, not 1.5",
        "pillarbox.toml:7: auth_mechanisms is a list of texts, not 5",
        "pillarbox.toml:8: auth_verbose is true or false, not 'perhaps'",
        "pillarbox.toml:9: hostname is a text, not 5",
        "pillarbox.toml:10: mail_home cannot be understood: '/srv/%{user', column 12: "
        "a | or the closing brace is missing",
        "pillarbox.toml:13: process_limit must be 0 or more, not -1",
        "pillarbox.toml:15: there is no setting prot in service.imap.inet_listener.x "
        "(did you mean port?)",
        'pillarbox.toml:17: mode is a file mode such as "0660" or 0o660, not 660',
        "pillarbox.toml:19: blocks have a name: write [passdb.NAME], driver in it",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = \n", "pillarbox.toml:1: this is not TOML in column 5: invalid value"),
        ("a = 1\na = 2\n", "pillarbox.toml:2: this is not TOML"),
        ('a = """', "pillarbox.toml:1: this is not TOML"),
        ("passdb = 1\n", "pillarbox.toml:1: passdb is a group of its own: write [passdb]"),
        ("passdb.x = 1\n", "pillarbox.toml:1: x is a block: write [passdb.x]"),
        ("hostname = ['a']\n", "pillarbox.toml:1: hostname is a text, not a list"),
        ("hostname = { a = 1 }\n", 'pillarbox.toml:1: hostname is one value, or { file = "…" }'),
        ("imap_max_nesting = true\n", "imap_max_nesting is a whole number, not true"),
        ("imap_max_nesting = 99999999999999999999\n", "imap_max_nesting is too large"),
        ('[metric.a]\ngroup_by = [{ method = "linear" }]\n', "field is missing here"),
        ("[metric.a]\ngroup_by = [5]\n", "group_by is a list of names or tables; 5 is neither"),
        ("listen = [1]\n", "listen is a list of texts; 1 is none"),
        ('hostname = "a\\u0000b"\n', "hostname has a NUL byte in it"),
    ],
)
def test_one_mistake(tmp_path: Path, text: str, problem: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert problem in found[0]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'hostname = "\xe9"\n')
    with pytest.raises(SettingsError, match=r"latin\.toml: is not UTF-8 text"):
        load(tmp_path / "latin.toml")


def test_includes_win_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, 'hostname = "ten"\n[passdb.a]\ndriver = "static"\n', "conf.d/10.toml")
    write(tmp_path, 'hostname = "twenty"\n[passdb.a]\ndeny = true\n', "conf.d/20.toml")
    main = write(tmp_path, 'include = ["conf.d/*.toml"]\nhostname = "main"\ninstance_name = "i"\n')
    loaded = read(main)
    assert loaded.settings.hostname == "twenty"
    assert loaded.settings.instance_name == "i"
    assert loaded.settings.passdb["a"].driver == "static"
    assert loaded.settings.passdb["a"].deny is True
    assert [f.name for f in loaded.files] == ["pillarbox.toml", "10.toml", "20.toml"]
    problem = loaded.problem(("passdb", "a", "deny"), "is odd")
    assert str(problem).endswith("conf.d/20.toml:3: is odd")


def test_a_mistake_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    write(tmp_path, "\nhostnam = 1\n", "conf.d/x.toml")
    assert problems(tmp_path, 'include = "conf.d/x.toml"\n') == [
        "conf.d/x.toml:2: there is no setting hostnam (did you mean hostname?)"
    ]


def test_includes_that_cannot_be(tmp_path: Path) -> None:
    assert problems(tmp_path, '\ninclude = ["none.toml"]\n') == [
        "pillarbox.toml:2: none.toml cannot be read: No such file or directory"
    ]
    assert "includes itself" in problems(tmp_path, 'include = ["pillarbox.toml"]\n')[0]
    assert problems(tmp_path, "include = 5\n") == ["pillarbox.toml:1: include is a list of files"]
    assert load(write(tmp_path, 'include = ["none/*.toml"]\n')) == Settings()


def test_values_from_files_and_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "s3cret %{x\n", "secrets/pass")
    monkeypatch.setenv("PB_PORT", "10143")
    monkeypatch.setenv("PB_NAME", "mail")
    settings = load(
        write(
            tmp_path,
            """
            hostname = "%{env:PB_NAME}.example.org"
            instance_name = { env = "PB_NAME" }
            admin_password = { file = "secrets/pass" }
            login_greeting = "%%{env:PB_NAME}"
            [service.imap_login.inet_listener.imap]
            port = "%{env:PB_PORT}"
            """,
        )
    )
    assert settings.hostname == "mail.example.org"
    assert settings.instance_name == "mail"
    assert settings.admin_password == "s3cret %{x"
    assert settings.login_greeting == "%%{env:PB_NAME}"
    assert settings.service["imap_login"].inet_listener["imap"].port == 10143


def test_secrets_that_are_not_there(tmp_path: Path) -> None:
    text = 'admin_password = { file = "no/pass" }\nhostname = "%{env:PB_NO_SUCH}"\n'
    found = problems(tmp_path, text)
    assert "pillarbox.toml:1: admin_password cannot be read from no/pass: No such" in found[0]
    assert found[1] == (
        "pillarbox.toml:2: hostname wants PB_NO_SUCH of the environment, which is not set"
    )


def test_a_later_file_replaces_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PB_PASS", "from-env")
    write(tmp_path, 'admin_password = { env = "PB_PASS" }\n', "z.toml")
    text = 'include = ["z.toml"]\nadmin_password = { file = "none" }\n'
    assert load(write(tmp_path, text)).admin_password == "from-env"


def test_relative_files_are_counted_from_the_file_that_names_them(tmp_path: Path) -> None:
    write(tmp_path, 'ssl_server_cert_file = "tls/cert.pem"\nlog_path = "stderr"\n', "d/x.toml")
    settings = load(write(tmp_path, 'include = ["d/x.toml"]\nmail_home = "home/%{user}"\n'))
    assert settings.ssl_server_cert_file == str(tmp_path / "d/tls/cert.pem")
    assert settings.mail_home == str(tmp_path / "home/%{user}")
    assert settings.log_path == "stderr"
    assert settings.mail_path == "%{home}/mail"


def test_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, "imap_max_nesting = 5\n")
    settings = load(
        path,
        {
            "imap_max_nesting": "7",
            "service.imap.process_limit": "3",
            'local_name."*.example.org".ssl_server_cert_file': "/c.pem",
            "auth_mechanisms": "plain login",
            "auth_verbose": "yes",
        },
    )
    assert settings.imap_max_nesting == 7
    assert settings.service["imap"].process_limit == 3
    assert settings.local_name["*.example.org"].ssl_server_cert_file == "/c.pem"
    assert settings.auth_mechanisms == ("plain", "login")
    assert settings.auth_verbose is True
    with pytest.raises(SettingsError, match="-o imap_max_nestin: there is no setting"):
        load(None, {"imap_max_nestin": "7"})
    with pytest.raises(SettingsError, match="is no name of a setting"):
        load(None, {"a b": "7"})


def test_settings_travel_to_other_processes(tmp_path: Path) -> None:
    settings = load(
        write(
            tmp_path,
            """
            [passdb.z]
            driver = "static"
            [passdb.a]
            driver = "sql"
            [service.lmtp.unix_listener.lmtp]
            mode = "0666"
            [metric.x]
            filter = "event=*"
            group_by = "cmd_name"
            """,
        )
    )
    again = decode(encode(settings))
    assert again == settings
    assert list(again.passdb) == ["z", "a"]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().hostname = "x"  # type: ignore[misc]
    assert msgspec.structs.replace(Settings(), hostname="x").hostname == "x"
