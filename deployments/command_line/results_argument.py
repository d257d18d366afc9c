"""Argument that names the results of one acquisition: by its name below the results root, or by its folder."""

from pathlib import Path
from typing import TYPE_CHECKING

from deployments.command_line.arguments import BadArgumentsError, checked_results_folder, reading_arguments
from deployments.settings import read_settings

if TYPE_CHECKING:
    from spherovem_core.store import Layout


def find_results(name: str, results_root: Path | None) -> "Layout":
    """Return the paths in a results folder.

    Raises
    ------
    BadArgumentsError
        If there is no such results folder.
    """
    from spherovem_core.store import Layout

    with reading_arguments():
        root = results_root or read_settings().results_root
    given = Path(name)
    folder = given if root is None or (results_root is None and given.is_dir()) else root / name
    if not folder.is_dir():
        where = "give --results-root DIR or set SPHEROVEM_RESULTS_ROOT" if root is None else f"look in {root}"
        raise BadArgumentsError(f"{folder} is not a results folder; {where}")
    return Layout(checked_results_folder(folder))
