"""Merging learned beside a network: the model on disk, done once, without traces of the training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cellpose.vit import CPSAM
from fine_tuning_scenes import dark_is_boundary, write_labels, write_volume

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.parameters import FineTuningParameters, ObjectParameters
from spherovem_core.references import FineTuningFolders
from spherovem_core.segmentation import PlacedVolume, cellpose_segmenter, flow_grid
from spherovem_core.segmentation.attention import use_fast_attention
from spherovem_core.segmentation.evaluation import match_labels
from spherovem_core.segmentation.fine_tuning import merging_training
from spherovem_core.segmentation.fine_tuning.slice_files import SliceOrigin, write_slice
from spherovem_core.segmentation.merging_model import LEARNED, read_merging_model, write_merging_model
from spherovem_core.segmentation.networks import weights_path
from spherovem_core.segmentation.scratch import MemoryScratch
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import REGISTERED
from tasks import learn_merging

SHAPE, NM = (32, 64, 64), 20.0
PARAMETERS = FineTuningParameters(network="phantom-compact", flow_spacing_nm=NM)


def columns() -> np.ndarray:
    """Return the labels of 16 columns through z."""
    _, y, x = np.indices(SHAPE)
    labels: np.ndarray = (1 + (y // 16) * 4 + x // 16).astype(np.uint16)
    return labels


def acquisition(folder: Path, planes: Sequence[str] = ("xy",)) -> FineTuningFolders:
    """Write columns of 16 x 16 voxels between dark membranes, each crossed by plates, and labelled slices of each plane."""
    z, y, x = np.indices(SHAPE)
    bodies = columns()
    membrane = (y % 16 == 0) | (y % 16 == 15) | (x % 16 == 0) | (x % 16 == 15)
    # Plates with a hole part a column into pieces, also along x.
    plate = ((z + 3 * (x // 16)) % 8 < 2) | (x % 16 == 8)
    hole = (y % 16 > 6) & (y % 16 < 10)
    image = np.where(membrane | (plate & ~hole), 60, 190).astype(np.uint8)
    image += np.random.default_rng(0).integers(0, 20, SHAPE).astype(np.uint8)
    volume = write_volume(folder / "tissue", image, NM)
    slices, network = folder / "slices", folder / "network"
    slices.mkdir()
    for axis, plane in enumerate(planes):
        for place in range(3, SHAPE[axis] - 2, 3):
            origin = SliceOrigin("tissue", plane, place * NM, (0.0, 0.0), NM, 60.0, 210.0)
            path = write_slice(slices, np.moveaxis(image, axis, 0)[place], origin)
            write_labels(path, np.moveaxis(bodies, axis, 0)[place])
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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_cellpose_sam_learns_merging_and_makes_its_masks_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random weights, and 1 of the 24 blocks of the encoder: its flows only say that all is inside of objects."""
    torch.manual_seed(0)
    network = CPSAM(dtype=torch.float32).eval()
    network.encoder.blocks = network.encoder.blocks[:1]
    use_fast_attention(network)
    torch.nn.init.constant_(network.out.bias, 5.0)
    for module in (learn_merging, cellpose_segmenter):
        monkeypatch.setattr(module, "load_network", lambda *_: network)
    monkeypatch.setattr(merging_training, "_fit_boundary", lambda *_: dark_is_boundary(0.5))
    folders = acquisition(tmp_path, ("xy", "xz", "yz"))
    told = learn_merging.learn_merging_of.fn(folders, PARAMETERS.model_copy(update={"planes": "xy"}))
    assert min(told["different"], told["contacts"] - told["different"]) >= 20

    weights = str(folders.out / "weights.pt")
    own = ObjectParameters(network=weights, flow_spacing_nm=NM, planes="xy", min_diameter_um=0.05)
    assert folders.volume is not None
    image, segmenter = open_array(Layout(folders.volume), REGISTERED), cellpose_segmenter.CellposeSegmenter()
    grid = flow_grid(image.shape, image.spacing_nm, own)
    field = np.zeros((4, *grid.shape), np.float16)
    segmenter.predict("cells", image, grid, MemorySink(field), own, Execution("cpu"), MemoryScratch())
    assert field[3].min() > 0
    flows, found = PlacedVolume(field, grid.spacing_nm, grid.origin_nm), {}
    for merging in ("auto", "boundary_strength"):
        provisional, labels = (MemorySink(np.zeros(SHAPE, np.uint32)) for _ in range(2))
        masks = own.model_copy(update={"merging": merging})
        segmenter.label(flows, image, provisional, labels, masks, Execution("cpu"))
        found[merging] = match_labels(columns().astype(np.uint32), labels.array, 0.8).f1
    # Flows without directions lead nowhere: what is found is found by the learned boundaries and their merging.
    assert found["auto"] > 0.8
    assert found["boundary_strength"] < 0.2
