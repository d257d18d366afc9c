"""Merging learned beside a network: the model on disk, done once, without traces of the training."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from spherovem_core.blocks import slab_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.references import FineTuningFolders
from spherovem_core.segmentation.boosted_trees import BoostedTrees
from spherovem_core.segmentation.fine_tuning import merging_training
from spherovem_core.segmentation.fine_tuning.slice_files import SliceOrigin, labels_path, write_slice
from spherovem_core.segmentation.merging_model import read_merging_model
from spherovem_core.segmentation.networks import weights_path
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, finish_multiscale
from tasks import learn_merging

SHAPE, NM = (32, 64, 64), 20.0
PARAMETERS = FineTuningParameters(network="phantom-compact", flow_spacing_nm=NM)


DARK_IS_BOUNDARY = BoostedTrees(
    np.array([0, 0, 0], np.int32),
    np.array([0.5, 0.0, 0.0]),
    np.array([1, -1, -1], np.int32),
    np.array([2, -1, -1], np.int32),
    np.array([0.0, 3.0, -3.0]),
    np.array([0], np.int32),
    np.zeros(1),
)
"""Membranes and plates are boundaries alike: contacts alone tell which of them separate objects."""


def acquisition(folder: Path) -> FineTuningFolders:
    """Write columns of 16 x 16 voxels between dark membranes, each crossed by plates, and all labelled slices through z."""
    z, y, x = np.indices(SHAPE)
    bodies = (1 + (y // 16) * 4 + x // 16).astype(np.uint16)
    membrane = (y % 16 == 0) | (y % 16 == 15) | (x % 16 == 0) | (x % 16 == 15)
    # Plates with a hole part a column into pieces, also along x.
    plate = ((z + 3 * (x // 16)) % 8 < 2) | (x % 16 == 8)
    hole = (y % 16 > 6) & (y % 16 < 10)
    image = np.where(membrane | (plate & ~hole), 60, 190).astype(np.uint8)
    image += np.random.default_rng(0).integers(0, 20, SHAPE).astype(np.uint8)
    layout = Layout(folder / "tissue")
    spec = ArraySpec(
        "registered", "image", SHAPE, image.dtype, (1, 64, 64), (1, 64, 64), (NM,) * 3, (0.0,) * 3
    )
    writer = ArrayWriter(layout, spec, "digest")
    for block in slab_grid(SHAPE, 1):
        writer.write(block, image[block.core])
    finish_multiscale(writer, Execution(), [])
    slices, network = folder / "slices", folder / "network"
    (slices / "labels").mkdir(parents=True)
    for plane in range(3, 30, 3):
        origin = SliceOrigin("tissue", "xy", plane * NM, (0.0, 0.0), NM, 60.0, 210.0)
        path = write_slice(slices, image[plane], origin)
        tifffile.imwrite(labels_path(path, "cells"), bodies[plane])
    network.mkdir()
    shipped = weights_path("phantom-compact", "cells")
    assert shipped is not None
    from safetensors.torch import load_file
    from torch import save

    save(load_file(shipped), network / "weights.pt")
    return FineTuningFolders(slices=slices, out=network, volume=layout.folder)


def test_model_lies_beside_the_weights_and_is_learned_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging_training, "_fit_boundary", lambda *_: DARK_IS_BOUNDARY)
    folders = acquisition(tmp_path)
    told = learn_merging.learn_merging_of.fn(folders, PARAMETERS)
    model, origin = read_merging_model(folders.out / "weights-merging.safetensors")
    assert origin == told
    assert told["slices"] == 9
    assert min(told["different"], told["contacts"] - told["different"]) >= 20
    assert model.percentiles == PARAMETERS.normalise_percentiles
    monkeypatch.setattr(learn_merging, "learn_merging", None)
    assert learn_merging.learn_merging_of.fn(folders, PARAMETERS) == told
