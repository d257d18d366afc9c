"""A run that takes the labels of another program as the segmentation of one kind of object."""

from spherovem_core.execution import ExecutionSettings
from spherovem_core.references import ArtifactRef
from spherovem_core.store import Layout
from spherovem_core.store.layout import CorrectedKind


def run_with_imported_labels(
    layout: Layout, kind: CorrectedKind, file: str, execution: ExecutionSettings, *, measure: bool = True
) -> dict[str, ArtifactRef]:
    """Run the steps from the labels on with the parameters of the results on disk, but with the labels of a file."""
    raise NotImplementedError
