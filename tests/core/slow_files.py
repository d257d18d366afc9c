"""Run the tests marked slow file by file, and list what ran and for how long.

    python tests/core/slow_files.py [FILE ...]

Each file has a process of its own, one after another. The list is build/slow-tests.tsv, the output of each file is beside it.
A file that passed at the same commit is not run again, so that an interrupted run goes on where it was; with changes that are
not committed all files run. Exit code 1: a file failed.
"""

import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
LIST = ROOT / "build" / "slow-tests.tsv"
COLUMNS = ("commit", "file", "result", "tests", "passed", "failed", "skipped", "seconds", "why skipped")
SELECTION = "slow and not environment"
NOTHING_SELECTED = 5


def slow_files() -> list[str]:
    """Name the test files in which something is marked slow."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(file.relative_to(ROOT)) for file in files if "mark.slow" in file.read_text()]


def commit() -> str:
    """Name the state of the working tree; it ends with -dirty if anything is not committed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def passed_at(state: str) -> set[str]:
    """Files that the list has as passed at this state."""
    if state.endswith("-dirty") or not LIST.exists():
        return set()
    rows = [line.split("\t") for line in LIST.read_text().splitlines()[1:]]
    return {row[1] for row in rows if row[0] == state and row[2] == "passed"}


def run_file(file: str, state: str) -> list[str]:
    """Run the slow tests of one file; return its row of the list."""
    report, log = (LIST.with_name(f"slow-{file.replace('/', '-')}{end}") for end in (".xml", ".log"))
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", file, "-m", SELECTION, "--durations=0", f"--junitxml={report}"]
    begun = time.monotonic()
    with log.open("wb") as output:
        code = subprocess.run(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    seconds = f"{time.monotonic() - begun:.0f}"
    result = {0: "passed", NOTHING_SELECTED: "nothing slow"}.get(code, f"failed ({code})")
    suites = list(ElementTree.parse(report).iter("testsuite")) if report.exists() else []
    return [state, file, result, *counts(suites), seconds, "; ".join(sorted(reasons(suites)))]


def counts(suites: list[ElementTree.Element]) -> list[str]:
    """Tests, passed, failed and skipped in JUnit suites; question marks if the process ended without a report."""
    if not suites:
        return ["?"] * 4
    tests, failures, errors, skipped = (
        sum(int(suite.get(name, "0")) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    return [str(count) for count in (tests, tests - failed - skipped, failed, skipped)]


def reasons(suites: list[ElementTree.Element]) -> set[str]:
    """Why tests of JUnit suites were skipped."""
    return {" ".join(skip.get("message", "").split()) for suite in suites for skip in suite.iter("skipped")}


def main(names: list[str]) -> int:
    """Run the named files, or all; return the exit code."""
    LIST.parent.mkdir(exist_ok=True)
    state = commit()
    done = passed_at(state)
    if not LIST.exists():
        LIST.write_text("\t".join(COLUMNS) + "\n")
    failed = []
    for file in names or slow_files():
        if file in done:
            print(f"{file}: passed at {state} before", flush=True)
            continue
        row = run_file(file, state)
        with LIST.open("a") as table:
            table.write("\t".join(row) + "\n")
        print(
            "  ".join(f"{name} {value}" for name, value in zip(COLUMNS[1:], row[1:], strict=True) if value),
            flush=True,
        )
        if row[2].startswith("failed"):
            failed.append(file)
    print(f"list: {LIST}")
    if failed:
        print("failed: " + ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
