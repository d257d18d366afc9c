"""Version of the program with the commit of its source."""

import json
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PROGRAM = "spherovem"
CHECKOUT = Path(__file__).parents[2]
"""Folder that holds the packages: a checkout, or ``site-packages``."""
GIT_TIMEOUT_S = 10.0
DIGITS = 12
"""Digits of a commit that are shown."""


@lru_cache(maxsize=1)
def program_version() -> str:
    """Return the version of spherovem, such as ``0.2.0+g1160791abcde``, with ``.dirty`` where files differ from the commit.

    The commit is that of the checkout which the code is imported from, else the one that pip installed from a repository. Without
    either, such as for a wheel, it is the version alone.
    """
    try:
        installed = distribution(PROGRAM)
    except PackageNotFoundError:
        return f"unknown{_suffix(commit_of(CHECKOUT))}"
    return installed.version + _suffix(
        commit_of(CHECKOUT) or _installed_commit(installed.read_text("direct_url.json"))
    )


def commit_of(checkout: Path) -> str | None:
    """Return the commit of a Git checkout, with ``-dirty`` behind it where tracked files differ; None where there is none.

    A folder inside of another repository is not taken for a checkout of its own.
    """
    if not (checkout / ".git").exists():
        return None
    # The code of the folder is running already, so that it may belong to another user.
    git = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(checkout)]
    try:
        done = subprocess.run(
            [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _installed_commit(direct_url: str | None) -> str | None:
    """Return the commit that pip notes for an installation from a repository."""
    noted = json.loads(direct_url).get("vcs_info", {}).get("commit_id") if direct_url else None
    return None if noted is None else str(noted)


def _suffix(commit: str | None) -> str:
    if commit is None:
        return ""
    digits, _, dirty = commit.partition("-")
    return f"+g{digits[:DIGITS]}{'.dirty' if dirty else ''}"
