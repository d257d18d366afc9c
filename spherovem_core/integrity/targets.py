"""The artifact that a path names, and the lock under which it is changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spherovem_core.errors import ParameterError, StoreNotWritableError
from spherovem_core.store.format import check_format
from spherovem_core.store.layout import VOLUME, Layout
from spherovem_core.store.markers import holding_lock
from spherovem_core.workflow import ArrayOutput, Output, Pipeline, Step


@dataclass(frozen=True)
class Target:
    """Output of a step, by the path that a user gave."""

    step: Step[Any]
    output: Output

    @property
    def path(self) -> str:
        """Path of the group of an array, or of a file, in the results folder."""
        return artifact_path(self.output)


def artifact_path(output: Output) -> str:
    """Return the path under which users meet an output: the group of an array, or a file."""
    return f"{VOLUME}/{output.group}" if isinstance(output, ArrayOutput) else output.path


def find_target(layout: Layout, pipeline: Pipeline, path: str) -> Target:
    """Find the output that a path names: ``registered/labels/cells``, one of its levels or files, or ``tables/cells.parquet``.

    Raises
    ------
    ParameterError
        If it names no output.
    """
    name = _relative(layout, path).removeprefix(f"{VOLUME}/")
    found: Target | None = None
    for step in pipeline.steps:
        for output in (*step.outputs, *step.kept):
            own = output.group if isinstance(output, ArrayOutput) else output.path
            inside = isinstance(output, ArrayOutput) and _is_inside(name, own)
            if (name == own or inside) and (found is None or len(found.path) < len(artifact_path(output))):
                found = Target(step, output)
    if found is None:
        known = ", ".join(artifact_path(output) for step in pipeline.steps for output in step.outputs)
        raise ParameterError(f"{path} is no result of a step in {layout.folder}; the results are {known}")
    return found


def _relative(layout: Layout, path: str) -> str:
    """Return a path relative to the results folder; it may be given from there or from anywhere."""
    folder = layout.folder.resolve()
    place = Path(path).resolve()
    if place.is_relative_to(folder):
        return place.relative_to(folder).as_posix()
    return Path(path).as_posix().rstrip("/")


def _is_inside(name: str, group: str) -> bool:
    """Return whether a path names a level of a group or a file of one."""
    below = name.removeprefix(f"{group}/")
    return below != name and below.split("/")[0].isdigit()


@contextmanager
def held(layout: Layout) -> Iterator[None]:
    """Hold the acquisition, so that no run reads or replaces what is being changed.

    Raises
    ------
    StoreNotWritableError
        If a run holds it, or the folder cannot be written.
    """
    check_format(layout.folder)
    layout.ensure_writable()
    with holding_lock(layout.locks / "acquisition.lock") as is_held:
        if not is_held:
            raise StoreNotWritableError(
                f"{layout.folder} is being processed; wait until the run has ended, or end it"
            )
        yield
