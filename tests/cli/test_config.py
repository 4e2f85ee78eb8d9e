"""``pillarbox config``."""

from __future__ import annotations

import tomllib
from pathlib import Path


def test_check_of_good_settings(pillarbox, config: Path) -> None:
    config.with_name("users").write_text("")
    config.with_name("users").chmod(0o600)
    result = pillarbox("config", "check")
    assert (result.status, result.out) == (0, "The settings are good (1 file read).\n")
    assert result.err == ""


def test_check_says_what_is_wrong_and_where(pillarbox, config: Path) -> None:
    with config.open("a") as file:
        file.write(
            "[metric.a]\nfilter = 'event='\n[metric.b]\nfilter = 'event=imap_comand_finished'\n"
            "[passdb.more]\ndriver = 'passwd-fil'\n[userdb.more]\ndriver='sql'\n"
            "sqlite_path='x'\nsql_driver='oracle'\n"
        )
    result = pillarbox("config", "check", "-o", "mail_driver=mdbx")
    assert result.status == 78
    assert result.out == ""
    lines = config.read_text().splitlines()

    def at(text: str) -> str:
        return f"pillarbox.toml:{lines.index(text) + 1}: "

    assert at("filter = 'event='") + "filter is no event filter: column 7: expected" in result.err
    assert at("driver = 'passwd-fil'") + "there is no passdb driver passwd-fil" in result.err
    assert "did you mean passwd-file?" in result.err
    assert at("sql_driver='oracle'") + "there is no sql driver oracle" in result.err
    assert "-o mail_driver: there is no storage driver mdbx (did you mean mdbox?)" in result.err
    assert "warning: " in result.err
    assert "imap_comand_finished" in result.err


def test_show(pillarbox, config: Path) -> None:
    result = pillarbox("config", "show", "-o", "admin_password=geheim")
    tree = tomllib.loads(result.out)
    assert tree["base_dir"] == str(config.parent / "run")
    assert tree["passdb"]["users"]["driver"] == "passwd-file"
    assert "imap_max_line_length" not in tree
    assert "geheim" not in result.out
    assert "geheim" in pillarbox("config", "show", "-o", "admin_password=geheim", "--secrets").out
    assert tomllib.loads(pillarbox("config", "show", "--all").out)["imap_max_nesting"] == 100


def test_show_one(pillarbox, config: Path) -> None:
    assert pillarbox("config", "show", "imap_max_line_length").out == (
        'imap_max_line_length = "64KB"\n'
    )
    shown = pillarbox("config", "show", "passdb").out
    assert tomllib.loads(shown)["passdb"]["users"]["driver"] == "passwd-file"
    assert "# there is no [metric.NAME]" in pillarbox("config", "show", "metric").out
    result = pillarbox("config", "show", "mail_homes")
    assert result.status == 1
    assert result.err == "pillarbox: there is no setting mail_homes (did you mean mail_home?)\n"


def test_default(pillarbox) -> None:
    result = pillarbox("config", "default")
    assert result.status == 0
    assert tomllib.loads(result.out)["ssl"] == "yes"
    assert "# Largest message that is saved or delivered" in result.out
    result = pillarbox("config", "default", "ssl")
    assert result.out.startswith("# Whether TLS is offered")
    assert result.out.endswith('ssl = "yes"\n')
