"""Adoption: a change by hand declared to be right, so that what follows from it is computed again."""

import getpass
from pathlib import Path

from spherovem_core.errors import SpheroVemError
from spherovem_core.integrity.adopt_arrays import adopt_array
from spherovem_core.integrity.adopt_files import adopt_document, adopt_report, adopt_table
from spherovem_core.integrity.adoption import Adopting, Adoption
from spherovem_core.integrity.targets import find_target, held
from spherovem_core.registry import pipeline_of_results
from spherovem_core.steps.output import REPORT, rewrite_report
from spherovem_core.store.layout import Layout
from spherovem_core.workflow import ArrayOutput, DocumentOutput, Pipeline, TableOutput


def adopt(
    folder: Path, path: str, *, author: str = "", reason: str = "", pipeline: Pipeline | None = None
) -> Adoption:
    """Take a changed result as it is: record what it holds and who declared it right, and why.

    What was computed from it is computed again by the next run. Coarser levels of an array are built again from the finest. An
    adopted result is never replaced by a run; `recompute` discards it.

    Parameters
    ----------
    path
        A group of the volume such as ``registered/labels/cells``, or a file such as ``tables/cells.parquet``.
    author
        Who declares it; the user of this process if empty.

    Raises
    ------
    ParameterError
        If `path` names no result, or one that holds what was computed.
    IncompleteArtifactError
        If it is not there, or was discarded by lean storage.
    ChangedArtifactError
        If it cannot be adopted: another shape or type, a damaged file, a missing column.
    StoreNotWritableError
        If a run holds the folder, or it cannot be written.
    """
    layout = Layout(folder.absolute())
    pipeline = pipeline or pipeline_of_results(layout.folder)
    target = find_target(layout, pipeline, path)
    making = Adopting(target, author or getpass.getuser(), reason)
    with held(layout):
        match target.output:
            case ArrayOutput():
                adoption = adopt_array(layout, target.output, making)
            case TableOutput():
                adoption = adopt_table(layout, target.step, target.output, making)
            case DocumentOutput():
                adoption = adopt_document(layout, target.step, target.output, making)
            case _:
                adoption = adopt_report(layout, target.output, making)
        if target.step is pipeline.steps[-1] and target.output is not REPORT:
            _tell_in_report(layout, pipeline)
    return adoption


def _tell_in_report(layout: Layout, pipeline: Pipeline) -> None:
    """Write the report again with the adoption of a final table; a report that cannot be built is left for the next run."""
    try:
        rewrite_report(layout.folder, pipeline.chapters(), pipeline)
    except SpheroVemError:
        return
