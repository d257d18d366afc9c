"""The help: every command and option in it, within 80 columns."""

from importlib.metadata import version

import pytest

from deployments.command_line.help import commands_of
from deployments.command_line.main import Spherovem, main

COMMANDS = commands_of(Spherovem)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def too_wide(text: str) -> list[str]:
    """Lines over 80 columns that are no commands to be copied."""
    return [line for line in text.splitlines() if len(line) > 80 and not line.startswith("  spherovem ")]


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_overview_names_every_command_once(capsys: pytest.CaptureFixture[str], asked: str) -> None:
    text = shown(capsys, asked)
    starts = [line.split()[0] for line in text.splitlines() if line.startswith("  ") and line.split()]
    for name in COMMANDS:
        assert starts.count(name) == 1, name
    for word in ("Examples:", "SPHEROVEM_RESULTS_ROOT", "130   interrupted"):
        assert word in text
    assert too_wide(text) == []


def test_summaries_fit_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "--help").splitlines()
    for name in COMMANDS:
        [line] = [line for line in lines if line.split()[:1] == [name]]
        assert line.endswith("."), line


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(capsys: pytest.CaptureFixture[str], name: str) -> None:
    command, text = COMMANDS[name], shown(capsys, name, "--help")
    assert text.startswith(f"Usage: spherovem {name} ")
    assert too_wide(text) == []
    assert "None" not in text
    words = text.split()
    for field, info in command.model_fields.items():
        option = f"--{(info.alias or field).replace('_', '-')}"
        assert option in words or field.upper() in words, option
        assert info.description, option
        assert " ".join(info.description.split()[:3]) in " ".join(words), option
    assert command.examples, f"{name} has no example"
    for example, _ in command.examples:
        assert f"spherovem {name}" in example, example
        for word in example.partition("|")[0].split():
            assert not word.startswith("--") or word in words, word


def test_defaults_choices_and_variables_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys, "process", "--help").split())
    assert "--spacing-nm Z Y X" in text
    assert "--set STAGE.NAME=VALUE" in text
    assert "[env: SPHEROVEM_NETWORK]" in text
    assert "default: ingest]" in text
    assert "[default: 0.5]" in shown(capsys, "evaluate", "--help")
    assert "--boundary-error true|false" in shown(capsys, "evaluate", "--help")


def test_required_options_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out PATH Folder for what is exported. [required]" in " ".join(
        shown(capsys, "export", "--help").split()
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--version") == f"spherovem {version('spherovem')}\n"


def test_help_of_an_unknown_command_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bogus", "--help"]) == 2
    assert "invalid choice: 'bogus'" in capsys.readouterr().err
