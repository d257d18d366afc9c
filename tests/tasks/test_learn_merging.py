"""Merging learned beside a network: the model on disk, done once, without traces of the training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fine_tuning_scenes import dark_is_boundary, write_labels, write_volume

from spherovem_core.parameters import FineTuningParameters
from spherovem_core.references import FineTuningFolders
from spherovem_core.segmentation.fine_tuning import merging_training
from spherovem_core.segmentation.fine_tuning.slice_files import SliceOrigin, write_slice
from spherovem_core.segmentation.merging_model import LEARNED, read_merging_model, write_merging_model
from spherovem_core.segmentation.networks import weights_path
from tasks import learn_merging

SHAPE, NM = (32, 64, 64), 20.0
PARAMETERS = FineTuningParameters(network="phantom-compact", flow_spacing_nm=NM)


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
    volume = write_volume(folder / "tissue", image, NM)
    slices, network = folder / "slices", folder / "network"
    slices.mkdir()
    for plane in range(3, 30, 3):
        origin = SliceOrigin("tissue", "xy", plane * NM, (0.0, 0.0), NM, 60.0, 210.0)
        path = write_slice(slices, image[plane], origin)
        write_labels(path, bodies[plane])
    network.mkdir()
    shipped = weights_path("phantom-compact", "cells")
    assert shipped is not None
    from safetensors.torch import load_file
    from torch import save

    save(load_file(shipped), network / "weights.pt")
    return FineTuningFolders(slices=slices, out=network, volume=volume)


def test_model_lies_beside_the_weights_and_is_learned_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging_training, "_fit_boundary", lambda *_: dark_is_boundary(0.5))
    folders = acquisition(tmp_path)
    told = learn_merging.learn_merging_of.fn(folders, PARAMETERS)
    model, origin = read_merging_model(folders.out / "weights-merging.safetensors")
    assert origin == told
    assert told["slices"] == 9
    assert min(told["different"], told["contacts"] - told["different"]) >= 20
    assert model.percentiles == PARAMETERS.normalise_percentiles
    monkeypatch.setattr(learn_merging, "learn_merging", None)
    assert learn_merging.learn_merging_of.fn(folders, PARAMETERS) == told
    # Labels in 3D choose another threshold: without them, that of the slices counts again.
    path = folders.out / "weights-merging.safetensors"
    content = path.read_bytes()
    write_merging_model(path, replace(model, strongest=0.9), {**told, LEARNED: model.strongest})
    with_labels = folders.model_copy(update={"labels_3d": "box.tif"})
    assert learn_merging.learn_merging_of.fn(with_labels, PARAMETERS)[LEARNED] == model.strongest
    assert read_merging_model(path)[0].strongest == 0.9
    assert learn_merging.learn_merging_of.fn(folders, PARAMETERS) == told
    assert path.read_bytes() == content
