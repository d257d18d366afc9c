"""Segmenters that take labels as given: `imported` keeps each number, `none` leaves a kind of object out."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from spherovem_core.blocks import Block, MemorySink
from spherovem_core.errors import DeadlineError, LabelsError
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters, SegmentationParameters
from spherovem_core.segmentation import (
    SEGMENTERS,
    Grid,
    PlacedVolume,
    copy_labels,
    flow_grid,
    segment_volume,
    segmenter_named,
)
from spherovem_core.store.label_files import label_digest
from spherovem_core.store.ome import level_origin

SPACING = (120.0, 50.0, 50.0)
SHAPE = (20, 70, 90)
BLOCKS = Execution("cpu", block_voxels=64)
NUMBERS = np.array([0, 7, 4_000_000_000, 12], np.uint32)
LABELS = NUMBERS[np.random.default_rng(3).integers(0, 4, SHAPE)]
IMAGE = PlacedVolume(np.zeros(SHAPE, np.uint8), SPACING)


class CountingSink(MemorySink):
    """Sink that records the key of each written block."""

    def __init__(self) -> None:
        super().__init__(np.zeros(SHAPE, np.uint32))
        self.written: list[str] = []

    def write(self, block: Block, values: np.ndarray) -> None:
        self.written.append(block.key)
        super().write(block, values)


def parameters(folder: Path, segmenter: str = "imported") -> ObjectParameters:
    path = folder / "labels.npy"
    if not path.exists():
        np.save(path, LABELS)
    return ObjectParameters(segmenter=segmenter, network=str(path))


def label(own: ObjectParameters, sink: CountingSink, ledger: Any = None, **changes: Any) -> int:
    field = PlacedVolume(np.zeros((1, 1, 1, 1), np.float16), SPACING)
    execution = Execution("cpu", block_voxels=64, **changes)
    return segmenter_named(own.segmenter).label(field, IMAGE, sink, sink, own, execution, ledger)


def test_labels_keep_their_numbers(tmp_path: Path) -> None:
    sink = CountingSink()
    assert label(parameters(tmp_path), sink) == 3
    assert np.array_equal(sink.array, LABELS)
    assert len(sink.written) == 4


def test_labels_of_a_finer_level_are_brought_to_the_image(tmp_path: Path) -> None:
    grids = [
        (
            tuple(-(-n // f) for n in SHAPE),
            tuple(s * f for s in SPACING),
            level_origin(SPACING, (0, 0, 0), (f,) * 3),
        )
        for f in (1, 2)
    ]
    shape = grids[1][0]
    sink = MemorySink(np.zeros(shape, np.uint32))
    own = parameters(tmp_path)
    copy_labels(own.network, Grid(*grids[1]), grids, sink, BLOCKS)
    assert np.array_equal(sink.array, LABELS[1::2, 1::2, 1::2])


@pytest.mark.parametrize("name", ["imported", "none"])
def test_a_segmenter_without_a_field_predicts_nothing(name: str, tmp_path: Path) -> None:
    own, segmenter = parameters(tmp_path, name), segmenter_named(name)
    assert segmenter is SEGMENTERS[name]
    assert segmenter.channels == ()
    assert not segmenter.labels_on_gpu(own)
    assert segmenter.weights_digest("cells", own)
    assert segmenter.labels_digest(own) == ""
    segmenter.check_weights("cells", own)
    nothing: Any = None
    segmenter.predict("cells", IMAGE, flow_grid(SHAPE, SPACING, own), nothing, own, BLOCKS, nothing)


@pytest.mark.parametrize("name", ["imported", "none"])
def test_the_deadline_stops_between_blocks(name: str, tmp_path: Path) -> None:
    with pytest.raises(DeadlineError, match="finished ones are kept"):
        label(parameters(tmp_path, name), CountingSink(), deadline=0.0)


def test_none_has_no_object(tmp_path: Path) -> None:
    sink = CountingSink()
    sink.array[:] = 5
    assert label(parameters(tmp_path, "none"), sink) == 0
    assert not sink.array.any()


class StopError(Exception):
    """An interruption after some blocks."""


def stop(done: int, total: int) -> None:
    assert total == 4
    if done == 2:
        raise StopError


def test_copying_continues_from_its_finished_blocks(tmp_path: Path) -> None:
    own, sink, ledger = parameters(tmp_path), CountingSink(), {}
    with pytest.raises(StopError):
        label(own, sink, ledger, progress=stop)
    assert len(sink.written) == 2
    assert label(own, sink, ledger) == 3
    assert np.array_equal(sink.array, LABELS)
    assert len(sink.written) == len(set(sink.written)) == 4


def test_segment_volume_returns_the_labels_of_the_file(tmp_path: Path) -> None:
    found = segment_volume(IMAGE.array, SPACING, "cells", parameters(tmp_path), execution=BLOCKS)
    assert np.array_equal(found, LABELS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    own = ObjectParameters(segmenter="imported", network=str(tmp_path / "absent.tif"))
    for method in (segmenter_named("imported").weights_digest, segmenter_named("imported").check_weights):
        with pytest.raises(LabelsError, match=r"absent\.tif do not exist"):
            method("cells", own)


# Digest


def test_a_copied_or_touched_file_has_the_digest_of_its_content(tmp_path: Path) -> None:
    first = parameters(tmp_path).network
    shutil.copy(first, tmp_path / "copy.npy")
    Path(first).touch()
    assert label_digest(first) == label_digest(str(tmp_path / "copy.npy"))
    np.save(tmp_path / "other.npy", LABELS + 1)
    assert label_digest(str(tmp_path / "other.npy")) != label_digest(first)


def test_a_known_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, known = parameters(tmp_path).network, {}
    digest = label_digest(first, known)
    monkeypatch.setattr("spherovem_core.store.label_files.digest.file_digest", None)
    assert label_digest(first, known) == digest
    Path(first).unlink()
    assert label_digest(first, known) == digest
    with pytest.raises(LabelsError, match="do not exist"):
        label_digest(first)


def test_members_of_an_archive_differ(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", cells=LABELS, nuclei=LABELS)
    assert label_digest(f"{tmp_path / 'both.npz'}:cells") != label_digest(f"{tmp_path / 'both.npz'}:nuclei")


def test_one_kind_alone_needs_no_mask_spacing_of_the_other() -> None:
    for kind, other in (("cells", "nuclei"), ("nuclei", "cells")):
        parameters = SegmentationParameters.model_validate(
            {kind: {"mask_spacing_nm": 10.0}, other: {"segmenter": "none"}}
        )
        assert (parameters.cells.mask_spacing_nm, parameters.nuclei.mask_spacing_nm) == (10.0, 10.0)
        assert SegmentationParameters.model_validate(parameters.model_dump()) == parameters
        # One value alone is taken for both; two that differ are refused.
        alone = SegmentationParameters.model_validate({kind: {"mask_spacing_nm": 10.0}})
        assert (alone.cells.mask_spacing_nm, alone.nuclei.mask_spacing_nm) == (10.0, 10.0)
        assert SegmentationParameters.model_validate(alone.model_dump()) == alone
        with pytest.raises(
            ValidationError, match="make them equal, give one of them alone, or leave one kind out"
        ):
            SegmentationParameters.model_validate(
                {kind: {"mask_spacing_nm": 10.0}, other: {"mask_spacing_nm": 50.0}}
            )
