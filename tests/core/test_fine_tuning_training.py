"""Training on labelled slices: it improves the scores, is reproducible, and its weights load."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fine_tuning_scenes import write_labelled_slices

from spherovem_core.errors import DeadlineError, ParameterError
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation import load_network, match_labels, network_digest
from spherovem_core.segmentation.fine_tuning import (
    EpochLosses,
    LabelledSlice,
    ScoredTraining,
    evaluate_network,
    fine_tune,
    overlay,
    read_slices,
    segment_section,
    split_by_plane,
    train_with_scores,
)
from spherovem_core.segmentation.fine_tuning.overlays import BOTH, FOUND, TRUE
from spherovem_core.segmentation.fine_tuning.training import training_targets

PARAMETERS = FineTuningParameters(
    network="phantom-compact",
    epochs=12,
    batch_size=4,
    crop_px=128,
    learning_rate=1e-3,
    held_out_fraction=0.25,
)


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledSlice]:
    folder = tmp_path_factory.mktemp("slices")
    write_labelled_slices(folder)
    # 21 were cut; the tests need 20.
    next(folder.glob("*.tif")).unlink()
    return read_slices(folder, PARAMETERS)


class Ideal(torch.nn.Module):
    """A network that returns the true flows of one section."""

    device, dtype, tile_multiple = torch.device("cpu"), torch.float32, 16

    def __init__(self, labels: np.ndarray) -> None:
        super().__init__()
        maps = training_targets(labels)
        self.maps = torch.from_numpy(np.stack([5 * maps[2], 5 * maps[3], 10 * maps[1] - 5]))[None]
        self.tiles = 0

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.tiles += len(x)
        spare = (x.shape[-1] - self.maps.shape[-1]) // 2
        return torch.nn.functional.pad(self.maps, (spare,) * 4), torch.zeros((1, 256))


def test_true_flows_of_a_section_give_its_objects() -> None:
    y, x = np.meshgrid(np.arange(96), np.arange(96), indexing="ij")
    labels = np.zeros((96, 96), np.uint32)
    for number, (cy, cx, radius) in enumerate(((20, 25, 15), (60, 70, 20), (75, 20, 12), (25, 75, 3)), 1):
        labels[np.hypot(y - cy, (x - cx) / 1.2) < radius] = number
    labels[90, 90] = 9
    network = Ideal(labels)
    found = segment_section(np.ones((96, 96), np.float32), network)
    assert network.tiles == 1
    match = match_labels(labels, found, iou=0.95, min_voxels=15)
    assert match.f1 == 1.0
    # A single pixel is below the smallest object.
    assert found[90, 90] == 0


def train(slices: list[LabelledSlice], folder: Path, **changes: Any) -> tuple[Path, list[EpochLosses]]:
    parameters = PARAMETERS.model_copy(update=changes)
    folder.mkdir()
    seen: list[EpochLosses] = []
    network = load_network("phantom-compact", "cells", "cpu")
    training, held_out = split_by_plane(slices, parameters.held_out_fraction, parameters.seed)
    weights, losses = fine_tune(network, training, held_out, parameters, folder, seen.append)
    assert losses.shape == (parameters.epochs,)
    return weights, seen


def test_twenty_slices_raise_the_score_on_an_unknown_contrast(
    slices: list[LabelledSlice], tmp_path: Path
) -> None:
    assert len(slices) == 20
    _, held_out = split_by_plane(slices, PARAMETERS.held_out_fraction, PARAMETERS.seed)
    weights, seen = train(slices, tmp_path / "run")
    scores = []
    for name in ("phantom-compact", str(weights)):
        network = load_network(name, "cells", "cpu")
        scores.append(evaluate_network(network, held_out, PARAMETERS)[0].figures["f1"])
    before, after = scores
    # 0.54 and 0.81 on one thread of the machine on which the threshold was set.
    assert before < 0.65
    assert after > before + 0.15
    assert [one.epoch for one in seen] == [1, 6, 11]
    assert seen[-1].training < seen[0].training / 2
    assert seen[-1].held_out < seen[0].held_out / 2


def test_training_is_reproducible_and_restores_the_global_generator(
    slices: list[LabelledSlice], tmp_path: Path
) -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    names = []
    for name in ("first", "second"):
        names.append(train(slices[:6], tmp_path / name, epochs=2)[0])
    assert np.random.rand() == expected  # noqa: NPY002
    first, second = (load_network(str(name), "cells", "cpu").state_dict() for name in names)
    shipped = load_network("phantom-compact", "cells", "cpu").state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["head.weight"], shipped["head.weight"])
    digests = [network_digest(str(name), "cells") for name in (*names, "phantom-compact")]
    assert digests[0] == digests[1] != digests[2]


def test_an_exception_of_the_watcher_ends_the_training(slices: list[LabelledSlice], tmp_path: Path) -> None:
    def stop(losses: EpochLosses) -> None:
        raise KeyboardInterrupt

    network = load_network("phantom-compact", "cells", "cpu")
    training, held_out = slices[:4], slices[4:6]
    with pytest.raises(KeyboardInterrupt):
        fine_tune(network, training, held_out, PARAMETERS, tmp_path, stop)
    assert not list(tmp_path.glob("models/*"))


def test_a_training_ends_at_its_time_limit(slices: list[LabelledSlice], tmp_path: Path) -> None:
    parameters = PARAMETERS.model_copy(update={"epochs": 2})
    reported: list[tuple[int, int]] = []

    def start(**limit: float | None) -> ScoredTraining:
        return train_with_scores(
            slices[:6], parameters, "cpu", tmp_path, len, lambda *epochs: reported.append(epochs), **limit
        )

    with pytest.raises(DeadlineError, match=r"after 1 of 2 epochs.*raise stage_timeout_s"):
        start(timeout_s=1e-9)
    assert reported == [(1, 2)]
    assert not list(tmp_path.iterdir())
    for limit in ({}, {"timeout_s": None}, {"timeout_s": 1000.0}):
        assert len(start(**limit).losses) == 2


def test_crops_that_cellpose_sam_cannot_use_are_refused(slices: list[LabelledSlice], tmp_path: Path) -> None:
    class Sam(torch.nn.Module):
        backbone = "sam_vitl"

    with pytest.raises(ParameterError, match="only on crops of 256: set crop_px to 256"):
        fine_tune(Sam(), slices, slices, PARAMETERS, tmp_path, lambda losses: None)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_cellpose_sam_learns_in_float32_and_its_weights_load(
    slices: list[LabelledSlice], tmp_path: Path
) -> None:
    from cellpose.vit import CPSAM

    torch.manual_seed(0)
    torch.save(CPSAM().state_dict(), tmp_path / "random.pt")
    network = load_network(str(tmp_path / "random.pt"), "cells", "cpu")
    precision = network.dtype
    parameters = PARAMETERS.model_copy(update={"epochs": 3, "batch_size": 1, "crop_px": 256})
    seen: list[EpochLosses] = []
    weights, losses = fine_tune(network, slices[:1], slices[1:2], parameters, tmp_path, seen.append)
    # The first epoch has a learning rate of 0; the third has seen two steps.
    assert losses[2] < losses[0]
    assert [one.epoch for one in seen] == [1]
    assert network.dtype == precision
    state = torch.load(weights, weights_only=True, mmap=True)
    assert {value.dtype for value in state.values()} == {torch.float32}
    assert not torch.equal(state["out.weight"], torch.load(tmp_path / "random.pt")["out.weight"])
    load_network(str(weights), "cells", "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_a_gpu_gives_the_score_of_a_cpu(slices: list[LabelledSlice], tmp_path: Path) -> None:
    parameters = PARAMETERS.model_copy(update={"epochs": 12})
    training, held_out = split_by_plane(slices, parameters.held_out_fraction, parameters.seed)
    scores = []
    for device in ("cpu", "cuda"):
        (tmp_path / device).mkdir()
        network = load_network("phantom-compact", "cells", device)
        weights, _ = fine_tune(
            network, training, held_out, parameters, tmp_path / device, lambda losses: None
        )
        tuned = load_network(str(weights), "cells", device)
        scores.append(evaluate_network(tuned, held_out, parameters)[0].figures["f1"])
    # Rounding differs from the first step on, and so does the course of the training.
    assert scores[1] == pytest.approx(scores[0], abs=0.1)


def test_outlines_have_the_colour_of_their_source() -> None:
    truth, found = np.zeros((20, 30), np.uint32), np.zeros((20, 30), np.uint32)
    truth[5:15, 5:15], found[5:15, 5:20] = 1, 1
    picture = overlay(np.full((20, 30), 0.5, np.float32), truth, found)
    assert picture.shape == (40, 60, 3)
    assert tuple(picture[20, 10]) == BOTH
    assert tuple(picture[20, 29]) == TRUE
    assert tuple(picture[20, 39]) == FOUND
    assert tuple(picture[20, 20]) == tuple(picture[2, 2]) == (127, 127, 127)
