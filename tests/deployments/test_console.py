"""Log lines of every package reach the console and the Prefect UI."""

import logging
from pathlib import Path

import pytest
import yaml

from deployments.command_line.console import console
from deployments.environment import DEFAULTS, LOGGERS

ROOT = Path(__file__).parents[2]


def packages() -> list[str]:
    """Return the packages of this project."""
    return sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def test_there_is_one_logger_per_package() -> None:
    assert sorted(LOGGERS) == packages()


@pytest.mark.parametrize("package", LOGGERS)
def test_messages_of_a_package_are_printed_once(package: str, capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger(f"{package}.some.module")
    with console():
        logger.info("half way")
        logger.debug("not for the console")
    logger.info("after the command")
    printed = capsys.readouterr().out
    assert printed.count("half way") == 1
    assert "not for the console" not in printed
    assert "after the command" not in printed


def test_levels_are_restored() -> None:
    before = [(logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in LOGGERS]
    with pytest.raises(KeyboardInterrupt), console():
        raise KeyboardInterrupt
    after = [(logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in LOGGERS]
    assert after == before


def started_with() -> dict[str, str]:
    """Return the loggers that each way of starting a run hands to Prefect, by the file that says so."""
    units = ROOT / "deployments" / "units"
    deployed = yaml.safe_load((ROOT / "prefect.yaml").read_text())["definitions"]["environment"]
    found = {
        "prefect.yaml": deployed["PREFECT_LOGGING_EXTRA_LOGGERS"],
        "deployments/environment.py": DEFAULTS["PREFECT_LOGGING_EXTRA_LOGGERS"],
    }
    for file in (units / "systemd" / "spherovem.env", units / "slurm" / "worker.sbatch"):
        (value,) = [
            word.partition("=")[2]
            for word in file.read_text().split()
            if word.startswith("PREFECT_LOGGING_EXTRA_LOGGERS=")
        ]
        found[file.name] = value
    return found


def test_every_way_to_start_a_run_shows_all_loggers_in_the_prefect_ui() -> None:
    assert set(started_with().values()) == {",".join(LOGGERS)}
