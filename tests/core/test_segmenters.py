"""The contract of a segmenter: every member of `SEGMENTERS` with a field passes these tests by being registered.

Those without one, which take labels as given, have tests of their own: ``test_imported_segmenter.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from threshold_segmenter import ThresholdSegmenter

from spherovem_core.blocks import Block, MemorySink
from spherovem_core.errors import DeadlineError, ParameterError
from spherovem_core.execution import Execution, Progress
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import (
    SEGMENTERS,
    PlacedVolume,
    Segmenter,
    flow_grid,
    match_labels,
    segment_volume,
    segmenter_named,
)
from spherovem_core.segmentation.scratch import MemoryScratch
from spherovem_core.synthetic.phantom import make_phantom

PARAMETERS = ObjectParameters(network="phantom-compact", flow_spacing_nm=100.0, min_diameter_um=0.5)
SPACING = (120.0, 50.0, 50.0)
ORIGIN = (30.0, -20.0, 70.0)
SMALLEST = 500
"""Voxels of the objects that are compared."""

ONE_BLOCK = Execution("cpu", block_voxels=512)
SMALL_BLOCKS = Execution("cpu", block_voxels=64, block_halo_voxels=40)


@pytest.fixture(params=[*(name for name, one in SEGMENTERS.items() if one.channels), "threshold"])
def segmenter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    """Each registered segmenter with a field, and one that is registered for these tests alone."""
    monkeypatch.setitem(SEGMENTERS, "threshold", ThresholdSegmenter())
    return segmenter_named(request.param)


@pytest.fixture(scope="module")
def image() -> PlacedVolume:
    """A phantom that takes two small blocks on the grid of the field and six on its own."""
    phantom = make_phantom(shape=(20, 90, 180), spacing_nm=SPACING, seed=305)
    return PlacedVolume(phantom.clean, SPACING, ORIGIN)


@pytest.fixture(scope="module")
def fields() -> dict[tuple[str, int], np.ndarray]:
    """Fields of the image by segmenter and blocks, each predicted once."""
    return {}


class CountingSink(MemorySink):
    """Sink that records the key of each written block."""

    def __init__(self, array: np.ndarray) -> None:
        super().__init__(array)
        self.written: list[str] = []

    def write(self, block: Block, values: np.ndarray) -> None:
        assert values.shape == tuple(s.stop - s.start for s in block.core)
        assert values.dtype == self.array.dtype
        self.written.append(block.key)
        super().write(block, values)


@dataclass
class Run:
    """Both phases on arrays in memory, which can be stopped and continued."""

    segmenter: Segmenter
    image: PlacedVolume
    execution: Execution
    ledger: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.image.shape
        self.grid = flow_grid(shape, self.image.spacing_nm, PARAMETERS, self.image.origin_nm)
        channels = len(self.segmenter.channels)
        self.scratch = MemoryScratch()
        self.field = CountingSink(np.zeros((channels, *self.grid.shape), np.float16))
        self.provisional, self.labels = (CountingSink(np.zeros(shape, np.uint32)) for _ in range(2))

    def predict(self, **changes: Any) -> np.ndarray:
        execution = replace(self.execution, **changes)
        self.segmenter.predict(
            "cells", self.image, self.grid, self.field, PARAMETERS, execution, self.scratch
        )
        return self.field.array

    def label(self, **changes: Any) -> np.ndarray:
        execution = replace(self.execution, **changes)
        placed = PlacedVolume(self.field.array, self.grid.spacing_nm, self.grid.origin_nm)
        self.count = self.segmenter.label(
            placed, self.image, self.provisional, self.labels, PARAMETERS, execution, self.ledger
        )
        return self.labels.array


StartRun = Callable[[Execution], Run]


@pytest.fixture
def predicted(
    segmenter: Segmenter, image: PlacedVolume, fields: dict[tuple[str, int], np.ndarray]
) -> StartRun:
    """Make runs whose first phase is done."""

    def start(execution: Execution) -> Run:
        run, key = Run(segmenter, image, execution), (segmenter.name, execution.block_voxels)
        if key not in fields:
            fields[key] = run.predict()
        run.field.array[:] = fields[key]
        return run

    return start


def large(labels: np.ndarray) -> int:
    """Count the objects of at least `SMALLEST` voxels."""
    return int((np.bincount(labels.ravel())[1:] >= SMALLEST).sum())


def test_labels_are_dense_from_1(predicted: StartRun) -> None:
    run = predicted(SMALL_BLOCKS)
    labels = run.label()
    assert np.unique(labels).tolist() == list(range(run.count + 1))
    assert large(labels) >= 3


def test_the_last_channel_is_the_foreground_logit(predicted: StartRun) -> None:
    run = predicted(ONE_BLOCK)
    foreground = (run.field.array[-1] > PARAMETERS.probability_threshold).mean()
    assert (run.label() > 0).mean() == pytest.approx(foreground, abs=0.1)


def test_blocks_give_the_objects_of_a_whole_run(predicted: StartRun) -> None:
    whole, blocked = (predicted(chosen).label() for chosen in (ONE_BLOCK, SMALL_BLOCKS))
    # A network sees less around a small block than in the whole: phantom-compact gives 1.0 up to an IoU of 0.7.
    assert match_labels(whole, blocked, iou=0.7, min_voxels=SMALLEST).f1 == 1.0


def test_labels_of_one_field_do_not_depend_on_blocks(predicted: StartRun) -> None:
    whole, blocked = predicted(ONE_BLOCK), predicted(SMALL_BLOCKS)
    blocked.field.array[:] = whole.field.array
    assert (whole.label() == blocked.label()).mean() > 0.99


@pytest.mark.parametrize("level", [0, 100])
def test_an_empty_image_has_no_object(segmenter: Segmenter, level: int) -> None:
    empty = PlacedVolume(np.full((10, 40, 50), level, np.uint8), SPACING, ORIGIN)
    run = Run(segmenter, empty, ONE_BLOCK)
    run.predict()
    assert not run.label().any()
    assert run.count == 0


def test_objects_do_not_depend_on_the_voxel_size(segmenter: Segmenter, image: PlacedVolume) -> None:
    """The same specimen with voxels twice as long along y, which the grid of the field averages in any case."""
    values = image.array.astype(np.float32)
    pairs = (values[:, ::2] + values[:, 1::2]) / 2
    spacing, origin = (120.0, 100.0, 50.0), (ORIGIN[0], ORIGIN[1] + 25.0, ORIGIN[2])
    fine, coarse = (
        Run(segmenter, one, ONE_BLOCK)
        for one in (PlacedVolume(values, SPACING, ORIGIN), PlacedVolume(pairs, spacing, origin))
    )
    # The percentiles of both differ a little, hence the normalised images and the labels.
    assert np.abs(fine.predict().astype(float) - coarse.predict())[-1].mean() < 0.5
    assert match_labels(fine.label()[:, ::2], coarse.label(), iou=0.6, min_voxels=SMALLEST // 2).f1 > 0.85


@pytest.mark.parametrize("phase", ["predict", "label"])
def test_the_deadline_stops_the_segmenter_between_blocks(
    segmenter: Segmenter, image: PlacedVolume, phase: str
) -> None:
    run = Run(segmenter, image, SMALL_BLOCKS)
    with pytest.raises(DeadlineError, match="finished ones are kept"):
        getattr(run, phase)(deadline=0.0)


class StopError(Exception):
    """An interruption after some blocks."""


def stopping_after(blocks: int) -> Progress:
    def progress(done: int, total: int) -> None:
        if done == blocks:
            raise StopError

    return progress


def test_the_field_continues_from_its_finished_blocks(
    segmenter: Segmenter, image: PlacedVolume, predicted: StartRun
) -> None:
    run = Run(segmenter, image, SMALL_BLOCKS)
    with pytest.raises(StopError):
        run.predict(progress=stopping_after(1))
    # Computed a second time, and equal to the last bit.
    assert np.array_equal(run.predict(), predicted(SMALL_BLOCKS).field.array)
    assert len(run.field.written) == len(set(run.field.written)) == 2


@pytest.mark.parametrize("blocks", [3, 10])
def test_labels_continue_from_their_finished_blocks(predicted: StartRun, blocks: int) -> None:
    """Both passes take six blocks."""
    whole, stopped = predicted(SMALL_BLOCKS), predicted(SMALL_BLOCKS)
    expected = whole.label()
    with pytest.raises(StopError):
        stopped.label(progress=stopping_after(blocks))
    assert np.array_equal(stopped.label(), expected)
    assert stopped.count == whole.count
    for sink in (stopped.provisional, stopped.labels):
        assert len(sink.written) == len(set(sink.written)) == 6


def test_segment_volume_equals_the_blocked_path(segmenter: Segmenter, image: PlacedVolume) -> None:
    part = PlacedVolume(image.array[:, :60, :60], SPACING)
    run = Run(segmenter, part, SMALL_BLOCKS)
    run.predict()
    parameters = PARAMETERS.model_copy(update={"segmenter": segmenter.name})
    labels = segment_volume(part.array, SPACING, "cells", parameters, execution=SMALL_BLOCKS)
    assert labels.dtype == np.uint32
    assert np.array_equal(labels, run.label())


def test_the_segmenter_is_registered_under_its_name(segmenter: Segmenter) -> None:
    assert segmenter_named(segmenter.name) is segmenter
    assert segmenter.weights_digest("cells", PARAMETERS)
    segmenter.check_weights("cells", PARAMETERS)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"'stardust' is unknown; choose one of cellpose"):
        segmenter_named("stardust")
