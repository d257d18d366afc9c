"""Commands and parameter snippets in the documentation: every command, option and parameter exists."""

import contextlib
import io
import json
import operator
import re
import shutil
import subprocess
from importlib import import_module

import pytest
import yaml
from cyclopts import CycloptsError
from pages import PAGES, ROOT, SHELLS, Block, blocks, commands, script
from prefect.flows import load_flow_from_entrypoint

from deployments.command_line.commands import load_commands
from deployments.command_line.main import build_program, keep_commas, main
from deployments.run_parameters import build_parameters
from spherovem_core.ingest.description import read_description
from spherovem_core.parameters import PipelineParameters

# Programs of the operating system and of others. No test runs them.
OUTSIDE = {
    ".", "apt-get", "cd", "chmod", "chown", "cp", "createdb", "createuser", "curl", "docker", "export", "git", "install",
    "journalctl", "loginctl", "ls", "mkdir", "psql", "rsync", "sbatch", "scp", "sed", "set", "squeue", "srun", "ssh", "sudo",
    "systemctl", "systemd-analyze", "touch", "useradd", "usermod", "uv",
}  # fmt: skip
PLACEHOLDER = re.compile(r"^[A-Z][A-Z0-9_]*$")
# Folders of this checkout. A command that names a file in them, without a placeholder, must name an existing one.
OWN_FOLDERS = ("deployments/", "benchmarks/", "tests/", "docs/", "flows/")

SHELL_BLOCKS = blocks(*SHELLS)
COMMANDS = [(block, words) for block in SHELL_BLOCKS for words in commands(block)]


def program(words: list[str]) -> str:
    """Return the name of the program without its folder."""
    return words[0].rpartition("/")[2]


def of(name: str) -> list[tuple[Block, list[str]]]:
    return [(block, words) for block, words in COMMANDS if program(words) == name]


def named(case: object) -> str | None:
    return " ".join(case) if isinstance(case, list) else str(case)


def test_pages_show_commands() -> None:
    assert {block.page for block in SHELL_BLOCKS} >= {"README.md", "docs/first-acquisition.md"}
    assert len(of("spherovem")) > 10
    assert all(page.is_file() for page in PAGES)


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=str)
def test_every_block_is_valid_shell(block: Block) -> None:
    checked = subprocess.run(["bash", "-n"], input=script(block), text=True, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_program_is_known() -> None:
    checked = {"spherovem", "prefect", "make", "python", "python3", "bash"}
    assert {
        f"{block}: {words[0]}" for block, words in COMMANDS if program(words) not in checked | OUTSIDE
    } == set()


@pytest.mark.parametrize(("block", "words"), of("spherovem"), ids=named)
def test_every_command_of_spherovem_parses(block: Block, words: list[str]) -> None:
    if "--help" in words:
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            assert main(words[1:]) == 0
        assert shown.getvalue()
        return
    numbers = [number_for(word) for word in words[1:]]
    build_program(load_commands())(_cli_parse_args=keep_commas(numbers), _cli_exit_on_error=False)


def number_for(word: str) -> str:
    """Replace a placeholder that stands for a number."""
    return "1" if word in ("N", "Z", "Y", "X") else word


def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(Exception, match="no-such-option"):
        build_program(load_commands())(
            _cli_parse_args=["process", "SOURCE", "--no-such-option", "1"], _cli_exit_on_error=False
        )


@pytest.mark.parametrize(("block", "words"), of("prefect"), ids=named)
def test_every_command_of_prefect_parses(block: Block, words: list[str]) -> None:
    parse_prefect(words[1], words[2:])


@pytest.mark.parametrize(
    ("name", "arguments"), [("worker", ["start", "--no-such-option"]), ("worker", ["no-such-command"])]
)
def test_an_unknown_command_of_prefect_is_an_error(name: str, arguments: list[str]) -> None:
    with pytest.raises(CycloptsError):
        parse_prefect(name, arguments)


def parse_prefect(name: str, arguments: list[str]) -> None:
    """Parse the arguments of a group of Prefect's commands; a group that does not exist is an ImportError."""
    module = name.replace("-", "_")
    group = getattr(import_module(f"prefect.cli.{module}"), f"{module}_app")
    group.parse_args(arguments, exit_on_error=False, print_error=False)


@pytest.mark.parametrize(
    ("block", "words"), [case for case in of("prefect") if case[1][1:3] == ["deployment", "run"]], ids=named
)
def test_every_deployment_accepts_its_parameters(block: Block, words: list[str]) -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    flow_name, name = words[3].split("/")
    (deployment,) = [found for found in deployments if found["name"] == name]
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    assert flow.name == flow_name
    given = [words[place + 1].partition("=") for place, word in enumerate(words) if word == "-p"]
    flow.validate_parameters({parameter: json.loads(value) for parameter, _, value in given})


@pytest.mark.parametrize(("block", "words"), of("make"), ids=named)
def test_every_make_target_exists(block: Block, words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [word for word in words[1:] if "=" not in word and word not in targets] == []


@pytest.mark.parametrize(("block", "words"), of("python"), ids=named)
def test_every_script_has_its_options(block: Block, words: list[str]) -> None:
    if words[1] == "-m":
        assert shutil.which(words[2]) or words[2] in ("pytest", "venv", "pip")
        named_files = [word for word in words[3:] if word.endswith(".py")]
        assert all((ROOT / name).is_file() for name in named_files)
        return
    source = (ROOT / words[1]).read_text()
    # What follows -- is for another program.
    own = words[2 : words.index("--") if "--" in words else None]
    assert [word for word in own if word.startswith("--") and f'"{word}"' not in source] == []


def test_every_file_in_a_command_exists() -> None:
    absent = [
        f"{block}: {word}"
        for block, words in COMMANDS
        for word in words
        if word.startswith(OWN_FOLDERS)
        and "*" not in word
        and not any(PLACEHOLDER.match(p) for p in word.split("/"))
        if not (ROOT / word.partition(":")[0]).exists()
    ]
    assert absent == []


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_file_of_parameters_is_valid(block: Block) -> None:
    content = yaml.safe_load(block.text)
    if set(content) <= set(PipelineParameters.model_fields):
        build_parameters([content])
    else:
        assert content, "another YAML file, which must at least parse"


@pytest.mark.parametrize("block", [b for b in blocks("json") if "spacing_nm" in b.text], ids=str)
def test_every_description_of_an_acquisition_is_valid(block: Block, tmp_path) -> None:
    (tmp_path / "acquisition.json").write_text(block.text)
    description = read_description(tmp_path)
    assert description.problems == ()
    assert description.voxel_size is not None
    assert description.voxel_size.z_nm == json.loads(block.text)["spacing_nm"][0]


def test_every_parameter_in_the_table_of_symptoms_exists() -> None:
    text = (ROOT / "docs" / "choosing-parameters.md").read_text()
    table = text.partition("| problem |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| .* \| ([a-z., ]+) \| (.*) \|$", table, re.MULTILINE)
    assert len(rows) == 21
    named = [
        f"{group}.{name}"
        for groups, cell in rows
        for group in groups.split(", ")
        for name in re.findall(r"`([a-z0-9_]+)(?::[^`]*)?`", cell)
    ]
    assert len(named) > 15
    assert [path for path in named if not is_parameter(path)] == []


def is_parameter(path: str) -> bool:
    """Return whether a path such as ``registration.drift`` leads to a parameter."""
    try:
        operator.attrgetter(path)(PipelineParameters())
    except AttributeError:
        return False
    return True
