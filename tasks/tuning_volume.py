"""The acquisition in which a fine-tuned network learns merging and tunes its masks, and the network's flows there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution, ExecutionSettings, Progress
from spherovem_core.parameters import FineTuningParameters, FlowParameters
from spherovem_core.segmentation import Grid, flow_grid, source_level
from spherovem_core.segmentation.flows import predict_flows
from spherovem_core.steps.imported_labels import level_grids
from spherovem_core.store import Layout, StoredArray, open_array
from spherovem_core.store.format import check_format
from spherovem_core.store.label_files import Level
from spherovem_core.store.layout import REGISTERED
from spherovem_core.utils.torch_device import torch_threads
from tasks.devices import gpu_slot, resolve_device
from tasks.progress import report_progress

BLOCK_VOXELS, HALO_VOXELS = 256, 64


@dataclass(frozen=True)
class TuningVolume:
    """The registered image of an acquisition, and the grid of the flows over it.

    Attributes
    ----------
    source
        The level of the image from which the flows are predicted.
    grid
        Grid of the flows.
    levels
        Grids of all levels of the image.
    parameters
        Parameters of the flows.
    """

    source: StoredArray
    grid: Grid
    levels: list[Level]
    parameters: FlowParameters

    def flows_on(
        self, grid: Grid, network: Any, execution: Execution, intensities: tuple[float, float]
    ) -> NDArray[np.float16]:
        """Predict the flows on the grid of a part of the volume: (4, Z, Y, X)."""
        flows = np.zeros((4, *grid.shape), np.float16)
        predict_flows(
            self.source,
            self.source.spacing_nm,
            grid,
            network,
            MemorySink(flows),
            self.parameters,
            execution,
            source_origin_nm=self.source.origin_nm,
            intensities=intensities,
        )
        return flows


def open_tuning_volume(acquisition: Path, parameters: FineTuningParameters) -> TuningVolume:
    """Open an acquisition by its results folder.

    Raises
    ------
    IncompleteArtifactError
        If it has no complete registered image.
    FormatError
        If another version wrote its results.
    """
    check_format(acquisition)
    layout = Layout(acquisition.absolute())
    finest = open_array(layout, REGISTERED)
    flows = FlowParameters(
        flow_spacing_nm=parameters.flow_spacing_nm,
        planes=parameters.planes,
        normalise_percentiles=parameters.normalise_percentiles,
    )
    levels = level_grids(finest)
    source = open_array(layout, REGISTERED, source_level([spacing for _, spacing, _ in levels], flows))
    grid = flow_grid(finest.shape, finest.spacing_nm, flows, finest.origin_nm)
    return TuningVolume(source, grid, levels, flows)


@contextmanager
def tuning_run(title: str, settings: ExecutionSettings) -> Iterator[tuple[Execution, Progress]]:
    """Hold the device, the threads and the progress of a run while the context lasts."""
    with (
        gpu_slot("torch", settings.device),
        report_progress(title) as progress,
        torch_threads(settings.worker_count),
    ):
        run = Execution(
            device=resolve_device("torch", settings.device),
            workers=settings.worker_count,
            block_voxels=BLOCK_VOXELS,
            block_halo_voxels=HALO_VOXELS,
        )
        yield run, progress
