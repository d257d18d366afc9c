"""Scores of cells and nuclei of default phantoms, at full resolution.

    python benchmarks/segmentation_phantoms.py [--seeds 1 811 812 813] [--threads N] [--cells NAME=VALUE ...]

Seed 1 is that of the demo; the others were used neither for training nor for the choice of parameters. The image has the
noise and the drift of contrast of an acquisition, but no shifts. A nucleus is in the right cell if the cell with most of
its voxels matches the cell in which the phantom placed it.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import (
    Grid,
    LabelMatch,
    MaskInputs,
    flow_grid,
    load_network,
    match_labels,
    predict_flows,
    segment_masks,
)
from spherovem_core.spacing import voxel_volume_um3
from spherovem_core.spatial import assign_parent_cells
from spherovem_core.synthetic.phantom import Phantom, make_phantom

IN_PLACE = {"jitter_shift_px": 0, "drift_shift_px": 0, "jitter_rotation_deg": 0, "jitter_scale": 0}
KINDS = {"cells": 2.0, "nuclei": 1.0}
"""Smallest diameters in µm."""


def segment(
    phantom: Phantom, kind: Any, threads: int, **changes: Any
) -> tuple[NDArray[np.uint32], LabelMatch]:
    parameters = ObjectParameters(**{"flow_spacing_nm": 120.0, "min_diameter_um": KINDS[kind], **changes})
    execution = Execution(workers=threads)
    network = load_network("phantom-compact", kind, "cpu")
    grid = flow_grid(phantom.image.shape, phantom.spacing_nm, parameters)
    target = Grid(phantom.parameters.shape, phantom.spacing_nm)
    flows = np.zeros((4, *grid.shape), np.float16)
    start = time.perf_counter()
    predict_flows(phantom.image, phantom.spacing_nm, grid, network, MemorySink(flows), parameters, execution)
    middle = time.perf_counter()
    labels, scratch = (np.zeros(target.shape, np.uint32) for _ in range(2))
    inputs = MaskInputs(flows, grid, target, phantom.image)
    segment_masks(inputs, MemorySink(scratch), MemorySink(labels), parameters, execution)
    end = time.perf_counter()
    least = int(np.pi / 6 * KINDS[kind] ** 3 / voxel_volume_um3(phantom.spacing_nm))
    match = match_labels(getattr(phantom, kind), labels, min_voxels=least)
    print(
        f"{phantom.parameters.seed:5d}  {kind:6}  {match.f1:6.3f}  {match.precision:9.3f}  {match.recall:6.3f}  "
        f"{100 * match.median_volume_error:12.1f} %  {middle - start:7.1f}  {end - middle:7.1f}",
        flush=True,
    )
    return labels, match


def right_cells(phantom: Phantom, cells: NDArray[np.uint32], nuclei: NDArray[np.uint32]) -> tuple[int, int]:
    """Count nuclei with the right cell, and found nuclei."""
    true_cell = {int(found): int(true) for true, found in match_labels(phantom.cells, cells).matches}
    parents = assign_parent_cells(nuclei, cells).set_index("label")["parent_cell"]
    matches = match_labels(phantom.nuclei, nuclei).matches
    right = sum(
        true_cell.get(int(parents[found]), -1) == phantom.nucleus_parents[true - 1] for true, found in matches
    )
    return right, len(matches)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 811])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cells", nargs="*", default=[], help="parameters of cells, NAME=VALUE")
    parser.add_argument("--nuclei", nargs="*", default=[], help="parameters of nuclei, NAME=VALUE")
    options = parser.parse_args()
    changes = {
        kind: {name: yaml.safe_load(value) for name, _, value in (c.partition("=") for c in chosen)}
        for kind, chosen in (("cells", options.cells), ("nuclei", options.nuclei))
    }
    print(" seed  objects      F1  precision  recall  volume error  flows s  masks s")
    with ThreadPoolExecutor(options.threads) as executor:
        for seed in options.seeds:
            phantom = make_phantom(seed=seed, executor=executor, **IN_PLACE)
            labels = {
                kind: segment(phantom, kind, options.threads, **changes[kind])[0]
                for kind in ("cells", "nuclei")
            }
            right, found = right_cells(phantom, labels["cells"], labels["nuclei"])
            print(
                f"{seed:5d}  nuclei in the right cell: {right} of {found}, {100 * right / found:.1f} %",
                flush=True,
            )


if __name__ == "__main__":
    main()
