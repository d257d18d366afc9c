"""The help shows every command and option, within 80 columns."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from deployments.command_line import commands
from deployments.command_line.arguments import Command
from deployments.command_line.commands import all_commands, commands_of, load_commands
from deployments.command_line.help import command_help
from deployments.command_line.main import main
from spherovem_core.utils.source_version import program_version

COMMANDS = load_commands()
ALL = dict(all_commands(COMMANDS))


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def too_wide(text: str) -> list[str]:
    """Return the lines over 80 columns, without the commands that a reader copies."""
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


def test_each_summary_fits_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "--help").splitlines()
    for name in COMMANDS:
        [line] = [line for line in lines if line.split()[:1] == [name]]
        assert line.endswith("."), line


@pytest.mark.parametrize("name", ALL)
def test_help_of_a_command_describes_every_option(capsys: pytest.CaptureFixture[str], name: str) -> None:
    command, text = ALL[name], shown(capsys, *name.split(), "--help")
    assert text.startswith(f"Usage: spherovem {name} ")
    assert too_wide(text) == []
    assert "None" not in text
    assert command.examples, f"{name} has no example"
    words = text.split()
    if below := commands_of(command):
        starts = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
        assert [starts.count(each) for each in below] == [1] * len(below)
        return
    for field, info in command.model_fields.items():
        option = f"--{(info.alias or field).replace('_', '-')}"
        assert option in words or field.upper() in words, option
        assert info.description, option
        assert " ".join(info.description.split()[:3]) in " ".join(words), option
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


def test_required_options_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out PATH Folder for the exported files. [required]" in " ".join(
        shown(capsys, "export", "--help").split()
    )


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--version") == f"spherovem {program_version()}\n"


def test_help_of_an_unknown_command_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bogus", "--help"]) == 2
    assert "invalid choice: 'bogus'" in capsys.readouterr().err


ADDED = """
from pydantic import Field
from deployments.command_line.arguments import Command

class Greet(Command):
    '''Greet somebody.'''

    name: str = Field(default="you", description="Name to greet.")

    def cli_cmd(self):
        print(f"hello {self.name}")
"""


def test_a_new_command_is_a_module_and_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "greeting.py").write_text(ADDED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(commands.COMMANDS, "greet", "greeting.Greet")
    assert "greet         Greet somebody." in shown(capsys, "--help")
    assert "--name TEXT               Name to greet. [default: you]" in shown(capsys, "greet", "--help")
    assert shown(capsys, "greet", "--name", "vEM") == "hello vEM\n"


class Weights(BaseModel):
    """Parameters of a made-up stage, one of them for experts."""

    size: int = Field(default=1, description="Size.")
    momentum: float = Field(default=0.5, description="Momentum.", json_schema_extra={"expert": True})


class Weigh(Command, Weights):
    """Weigh something."""

    out: str = Field(default="out", description="Folder.")


def test_expert_parameters_come_after_the_others_under_a_heading_of_their_own() -> None:
    sections = re.split(r"^([A-Z][a-z, ]+):$", command_help("weigh", Weigh), flags=re.MULTILINE)
    titles, bodies = sections[1::2], sections[2::2]
    assert titles == ["Options", "Parameters", "Expert parameters, which rarely need a change"]
    assert [body.split()[0] for body in bodies] == ["--out", "--size", "--momentum"]
