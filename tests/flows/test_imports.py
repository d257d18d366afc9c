"""Looking must not wait for libraries: at a flow, at the help, and at results that are there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_pipeline import TINY

from spherovem_core.references import Acquisition

ASK = (
    "import sys, {module}; heavy = ('torch', 'cellpose', 'careamics', 'numba', 'pandas', 'zarr');"
    "print([m for m in heavy if m in sys.modules])"
)
COMMANDS = """
import json, sys
from deployments.command_line.main import main

libraries = sys.argv[1].split()
for line in sys.stdin.read().splitlines():
    code = main(json.loads(line))
    print("imported", line, code, [name for name in libraries if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    "module",
    [
        "flows",
        "flows.process_acquisition",
        "flows.correct_labels",
        "flows.finetune_segmentation",
        "flows.evaluate_segmentation",
        "deployments.command_line.main",
    ],
)
def test_no_heavy_library_is_imported(module: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", ASK.format(module=module)], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "[]\n"


def run_commands(folder: Path, libraries: str, *commands: list[str]) -> tuple[str, list[str]]:
    """Run commands in a process without a Prefect server; return its output, and what each command gave and had imported."""
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, libraries],
        input="\n".join(map(json.dumps, commands)),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**environment, "PREFECT_HOME": str(folder / "prefect")},
        check=True,
    )
    told = [line.partition("] ")[2] for line in done.stderr.splitlines() if line.startswith("imported")]
    return done.stdout + done.stderr, told


def test_the_help_imports_no_library(tmp_path: Path) -> None:
    libraries = "torch prefect numpy pandas numba zarr scipy skimage matplotlib"
    _, told = run_commands(
        tmp_path, libraries, ["--help"], ["process", "--help"], ["labels", "import", "--help"]
    )
    assert told == ["0 []"] * 3


def test_finished_results_are_looked_at_without_torch_and_prefect(
    finished: Acquisition, tmp_path: Path
) -> None:
    (tmp_path / "parameters.yaml").write_text(yaml.safe_dump(TINY))
    root, folder = str(finished.results_root), str(finished.folder)
    given = [str(finished.source), "--results-root", root, "--name", finished.name, "--device", "cpu"]
    commands = [
        ["process", *given, "--parameters", "parameters.yaml"],
        ["process", *given, "--parameters", "parameters.yaml", "--start-at", "shape"],
        ["status", root],
        ["inspect", folder],
        ["verify", finished.name, "--results-root", root],
        ["labels", "log", finished.name, "--results-root", root],
    ]
    files = [finished.folder / name for name in ("report.html", "provenance.json", "tables/cells.parquet")]
    written = [path.stat().st_mtime_ns for path in files]
    output, told = run_commands(tmp_path, "torch prefect sklearn matplotlib", *commands)
    assert told == ["0 []"] * len(commands), output
    assert output.count(f"{finished.name}: everything is complete on disk") == 2
    assert output.count(str(finished.folder / "report.html")) == 2
    assert [path.stat().st_mtime_ns for path in files] == written


def test_the_form_of_the_flow_shows_descriptions_bounds_and_defaults() -> None:
    from prefect.utilities.callables import parameter_schema

    from flows.process_acquisition import process_acquisition

    schema = parameter_schema(process_acquisition.fn)
    assert schema.required == ["acquisition"]
    levels = schema.definitions["RegistrationParameters"]["properties"]["levels"]
    assert levels["description"]
    assert (levels["minimum"], levels["default"]) == (1, 4)
