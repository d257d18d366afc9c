"""Detection of a configured Prefect server, which does not import Prefect where no file can hold its settings."""

import os
from pathlib import Path

MARKS = {"prefect.toml": "", ".env": "prefect_", "pyproject.toml": "tool.prefect"}
"""Files of the working folder in which Prefect looks for settings, and a text that is in each file that holds some."""


def server_is_configured() -> bool:
    """Return whether runs go to a Prefect server whose address is configured; else Prefect starts one for each run.

    Prefect, which takes a second to import, is asked only where a file may hold its settings.
    """
    if os.environ.get("PREFECT_API_URL"):
        return True
    places = {_profiles(): "", **{Path(name): mark for name, mark in MARKS.items()}}
    if not any(_holds(file, mark) for file, mark in places.items()):
        return False
    from prefect.settings import get_current_settings

    return bool(get_current_settings().api.url)


def _profiles() -> Path:
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect")
    return Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser()


def _holds(file: Path, mark: str) -> bool:
    try:
        return mark in file.read_text(errors="replace").lower()
    except FileNotFoundError:
        return False
    except OSError:
        return True
