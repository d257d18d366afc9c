"""Volumes in which errors are planted: truth or prediction of phantoms of several kinds and voxel sizes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import (
    Grid,
    MaskInputs,
    PlacedVolume,
    flow_grid,
    load_network,
    predict_flows,
    segment_masks,
)
from spherovem_core.spacing import SpacingNm, voxel_volume_um3
from spherovem_core.synthetic.phantom import Phantom, make_phantom

IN_PLACE = {"jitter_shift_px": 0, "drift_shift_px": 0, "jitter_rotation_deg": 0, "jitter_scale": 0}
EDGE: dict[str, Any] = {
    "scenes": ("resin", "spheroid", "droplets"),
    "resin_fraction": 0.15,
    "spheroid_diameter_um": 30.0,
}
CASES: dict[str, dict[str, Any]] = {
    "bulk": {"shape": (96, 300, 300), "spacing_nm": (120.0, 60.0, 60.0)},
    "edge": {"shape": (96, 300, 300), "spacing_nm": (120.0, 60.0, 60.0), **EDGE},
    "isotropic": {"shape": (144, 224, 224), "spacing_nm": (80.0, 80.0, 80.0)},
    "thick slices": {"shape": (52, 360, 360), "spacing_nm": (240.0, 50.0, 50.0), **EDGE},
}
FLOW_SPACING_NM = 120.0
LEAST_UM3 = 2.0
"""Volume from which a cell gets an error; smaller ones are what the border of the volume leaves of a cell."""

AGREES = 0.6
"""Intersection over union from which a predicted cell counts as right, and may get an error."""


@dataclass(frozen=True)
class Base:
    """A volume before errors are planted; `flows` is None on the truth."""

    name: str
    image: NDArray[Any]
    labels: NDArray[np.uint32]
    nuclei: NDArray[np.uint32]
    truth: NDArray[np.uint32]
    spacing_nm: SpacingNm
    flows: PlacedVolume | None

    def overlap(self, labels: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Count the voxels that each label (rows) shares with each true cell (columns)."""
        counts = np.zeros((int(labels.max()) + 1, int(self.truth.max()) + 1), np.int64)
        np.add.at(counts, (labels.ravel(), self.truth.ravel()), 1)
        return counts

    def usable(self) -> set[int]:
        """Return the labels that may get an error: large enough, and right before."""
        counts = np.bincount(self.labels.ravel())
        large = set(np.flatnonzero(counts * voxel_volume_um3(self.spacing_nm) > LEAST_UM3).tolist()) - {0}
        if self.flows is None:
            return large
        overlap = self.overlap(self.labels)
        true = overlap.sum(axis=0)
        right, taken = set(), set()
        for label in sorted(large):
            cell = int(overlap[label, 1:].argmax()) + 1
            common = overlap[label, cell]
            if common > AGREES * (counts[label] + true[cell] - common) and cell not in taken:
                right.add(label)
                taken.add(cell)
        return right


def make_base(case: str, seed: int, predicted: bool, enlarge: float = 1.0) -> Base:
    """Make a phantom, and segment it if wanted; `enlarge` multiplies its sides, and so the number of its cells by the cube."""
    settings = {"cell_diameter_um": 4.8, **CASES[case], "seed": seed, **IN_PLACE}
    settings["shape"] = tuple(round(enlarge * side) for side in settings["shape"])
    phantom = make_phantom(scenes=settings.pop("scenes", ()), **settings)
    name = f"{case}, seed {seed}, {'predicted' if predicted else 'truth'}"
    if not predicted:
        return Base(
            name, phantom.image, phantom.cells, phantom.nuclei, phantom.cells, phantom.spacing_nm, None
        )
    labels, flows = {}, {}
    for kind, least in (("cells", 2.0), ("nuclei", 1.0)):
        flows[kind] = flows_of(phantom, kind)
        parameters = ObjectParameters(flow_spacing_nm=FLOW_SPACING_NM, min_diameter_um=least)
        labels[kind] = masks_of(phantom, flows[kind], parameters)
    return Base(
        name,
        phantom.image,
        labels["cells"],
        labels["nuclei"],
        phantom.cells,
        phantom.spacing_nm,
        flows["cells"],
    )


def flows_of(phantom: Phantom, kind: str) -> PlacedVolume:
    """Predict the flows of a kind of object with the compact network."""
    parameters = ObjectParameters(flow_spacing_nm=FLOW_SPACING_NM)
    grid = flow_grid(phantom.image.shape, phantom.spacing_nm, parameters)
    field = np.zeros((4, *grid.shape), np.float16)
    network = load_network("phantom-compact", kind, "cpu")
    execution = Execution(workers=2)
    predict_flows(phantom.image, phantom.spacing_nm, grid, network, MemorySink(field), parameters, execution)
    return PlacedVolume(field, grid.spacing_nm, grid.origin_nm)


def masks_of(phantom: Phantom, flows: PlacedVolume, parameters: ObjectParameters) -> NDArray[np.uint32]:
    """Make labels of flows on the grid of the phantom."""
    grid = flow_grid(phantom.image.shape, phantom.spacing_nm, parameters)
    target = Grid(phantom.parameters.shape, phantom.spacing_nm)
    labels, scratch = (np.zeros(target.shape, np.uint32) for _ in range(2))
    inputs = MaskInputs(flows.array, grid, target, phantom.image)
    segment_masks(inputs, MemorySink(scratch), MemorySink(labels), parameters, Execution(workers=2))
    return labels
