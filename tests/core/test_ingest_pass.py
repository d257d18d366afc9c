"""The pass that reads, checks and writes a stack."""

import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from ingest_samples import SPACING_NM, textured, write_slices

from spherovem_core.blocks import Block, MemorySink, slab_grid
from spherovem_core.errors import BadSlicesError, DeadlineError
from spherovem_core.execution import Execution
from spherovem_core.ingest import SliceStack, ingest_stack, open_stack
from spherovem_core.ingest.chapter import acquisition_warnings, repeated_slices
from spherovem_core.ingest.intensities import find_outliers, measure_intensities
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=SPACING_NM)


@pytest.fixture
def stack(tmp_path: Path) -> SliceStack:
    return open_stack(write_slices(tmp_path, textured((9, 24, 40), "uint16")), GIVEN)


def test_the_table_agrees_with_numpy(stack: SliceStack) -> None:
    array = np.zeros(stack.shape, stack.dtype)
    table = ingest_stack(stack, MemorySink(array), Execution())
    np.testing.assert_array_equal(array, textured((9, 24, 40), "uint16"))
    flat = array.reshape(9, -1)
    np.testing.assert_allclose(table["intensity_mean"], flat.mean(1))
    np.testing.assert_allclose(table["intensity_std"], flat.std(1))
    for percent in (1, 50, 99):
        np.testing.assert_allclose(table[f"intensity_p{percent}"], np.percentile(flat, percent, axis=1))
    assert table["file"].tolist() == [f"slice_{z:04d}.tif" for z in range(9)]
    assert table["z"].tolist() == list(range(9))
    flags = table[["missing", "blank", "truncated", "saturated", "excluded", "outlier"]]
    assert set(map(str, flags.dtypes)) == {"bool"}
    assert not flags.to_numpy().any()


def test_slices_that_repeat_others_are_found_in_the_table(tmp_path: Path) -> None:
    volume = textured((9, 24, 40), "uint16")
    volume[4], volume[8] = volume[3], volume[0]
    volume[6] = 7
    filling = GIVEN.model_copy(update={"on_bad_slice": "interpolate"})
    stack = open_stack(write_slices(tmp_path, volume), filling)
    table = ingest_stack(stack, MemorySink(np.zeros(stack.shape, stack.dtype)), Execution())
    assert repeated_slices(table) == [(3, 4), (0, 8)]
    (filled, repeated) = acquisition_warnings(SimpleNamespace(tables={"slices": table}))  # type: ignore[arg-type]
    assert "1 of 9 slices were missing or unusable" in filled
    assert "intensities of another one (4 as 3; 8 as 0)" in repeated
    assert repeated_slices(table.drop(columns="intensity_std")) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (5, 7), (64, 63)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_intensities_agree_with_numpy_at_any_size(shape: tuple[int, int], dtype: str) -> None:
    values = textured(shape, dtype, seed=3)
    found = measure_intensities(values)
    assert (found.mean, found.std) == pytest.approx((values.mean(), values.std()))
    assert (found.p1, found.p50, found.p99) == pytest.approx(tuple(np.percentile(values, (1, 50, 99))))
    assert found.mode_fraction == pytest.approx(np.bincount(values.ravel()).max() / values.size)


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_the_executor_changes_nothing(stack: SliceStack, kind: Any) -> None:
    expected = ingest_stack(stack, MemorySink(np.zeros(stack.shape, stack.dtype)), Execution())
    array = np.zeros(stack.shape, stack.dtype)
    with kind(2) as executor:
        table = ingest_stack(stack, MemorySink(array), Execution(executor=executor, workers=2))
    pd.testing.assert_frame_equal(table, expected)
    np.testing.assert_array_equal(array, textured((9, 24, 40), "uint16"))


class CountingSink(MemorySink):
    """Memory sink that records which slices were written."""

    def __init__(self, array: Any) -> None:
        super().__init__(array)
        self.written: list[int] = []

    def write(self, block: Block, values: Any) -> None:
        super().write(block, values)
        self.written.append(block.core[0].start)


def test_a_stopped_pass_continues_with_the_unwritten_slices(stack: SliceStack) -> None:
    sink = CountingSink(np.zeros(stack.shape, stack.dtype))
    with pytest.raises(DeadlineError):
        ingest_stack(stack, sink, Execution(deadline=time.monotonic() - 1))
    assert sink.written == [0]
    table = ingest_stack(stack, sink, Execution())
    assert sink.written == list(range(9))
    whole = ingest_stack(stack, CountingSink(np.zeros(stack.shape, stack.dtype)), Execution())
    pd.testing.assert_frame_equal(table, whole)
    np.testing.assert_array_equal(sink.array, textured((9, 24, 40), "uint16"))


def test_a_bad_slice_is_never_written_and_ends_the_writing(tmp_path: Path) -> None:
    volume = textured((6, 24, 40))
    volume[2] = 0
    stack = open_stack(write_slices(tmp_path, volume), GIVEN)
    sink = CountingSink(np.zeros(stack.shape, stack.dtype))
    with pytest.raises(BadSlicesError, match=r"slice_0002\.tif: blank"):
        ingest_stack(stack, sink, Execution())
    assert sink.written == [0, 1]
    assert [block.core[0].start for block in sink.pending(slab_grid(stack.shape, 1))] == [2, 3, 4, 5]


def test_at_most_one_slice_per_thread_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = open_stack(write_slices(tmp_path, textured((40, 8, 16))), GIVEN)
    lock, held, most = threading.Lock(), 0, 0
    read = SliceStack.read_as_acquired

    def counted(self: SliceStack, z: int) -> Any:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return read(self, z)

    class SlowSink(MemorySink):
        def write(self, block: Block, values: Any) -> None:
            nonlocal held
            time.sleep(0.002)
            with lock:
                held -= 1

    monkeypatch.setattr(SliceStack, "read_as_acquired", counted)
    with ThreadPoolExecutor(3) as executor:
        ingest_stack(stack, SlowSink(np.zeros(stack.shape)), Execution(executor=executor, workers=3))
    assert most <= 4


def test_progress_is_reported_after_each_slice(stack: SliceStack) -> None:
    reported: list[tuple[int, int]] = []
    execution = Execution(progress=lambda done, total: reported.append((done, total)))
    ingest_stack(stack, MemorySink(np.zeros(stack.shape, stack.dtype)), execution)
    assert reported == [(done, 9) for done in range(1, 10)]


def test_a_jump_is_an_outlier_and_drift_is_not() -> None:
    """Half a grey value of drift per slice, one grey value of noise; slice 40 is 20 brighter, 70 has half the contrast."""
    rng = np.random.default_rng(0)
    mean = pd.Series(100 + 0.5 * np.arange(100) + rng.normal(0, 1, 100))
    std = pd.Series(40 + rng.normal(0, 0.5, 100))
    assert not find_outliers(mean, std).any()
    mean[40] += 20
    std[70] /= 2
    mean[10] = std[10] = np.nan
    assert np.flatnonzero(find_outliers(mean, std)).tolist() == [40, 70]


def test_a_real_stack_is_read_exactly(shared_data: Path) -> None:
    folder = shared_data / "sstem_vnc"
    stack = open_stack(folder, IngestParameters(spacing_nm=(50, 4.6, 4.6)))
    array = np.zeros(stack.shape, stack.dtype)
    table = ingest_stack(stack, MemorySink(array), Execution())
    files = sorted(folder.glob("*.tif"))
    assert stack.shape == (20, 1024, 1024)
    for z in (0, 7, 19):
        np.testing.assert_array_equal(array[z], tifffile.imread(files[z]))
    assert not table["outlier"].any()
