"""Block grids cover an array once; mapping keeps the order, bounds memory and passes errors on."""

import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spherovem_core.blocks import MemorySink, block_grid, map_blocks, slab_grid
from spherovem_core.errors import DeadlineError, ParameterError
from spherovem_core.execution import Execution, ExecutionSettings, open_executor

EXTENTS = st.tuples(*[st.integers(1, 12)] * 3)


@given(EXTENTS, EXTENTS, st.tuples(*[st.integers(0, 3)] * 3))
def test_cores_cover_the_array_once_and_inner_cuts_the_halo_off(
    shape: tuple[int, int, int], block_shape: tuple[int, int, int], halo: tuple[int, int, int]
) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    count = np.zeros(shape, int)
    for block in block_grid(shape, block_shape, halo):
        count[block.core] += 1
        assert np.array_equal(array[block.outer][block.inner], array[block.core])
        for core, outer, width, extent in zip(block.core, block.outer, halo, shape, strict=True):
            assert outer.start == max(0, core.start - width)
            assert outer.stop == min(extent, core.stop + width)
    assert (count == 1).all()


def test_slabs_cut_the_first_axis_only() -> None:
    blocks = slab_grid((5, 7, 9), 2, halo=1)
    assert [block.key for block in blocks] == ["0:2,0:7,0:9", "2:4,0:7,0:9", "4:5,0:7,0:9"]
    assert blocks[1].outer == (slice(1, 5), slice(0, 7), slice(0, 9))


def square(value: int) -> int:
    return value * value


@pytest.mark.parametrize(
    "make",
    [lambda: None, lambda: ThreadPoolExecutor(3), lambda: ProcessPoolExecutor(2, get_context("spawn"))],
)
def test_results_come_in_order_with_any_executor(make) -> None:  # type: ignore[no-untyped-def]
    executor = make()
    assert list(map_blocks(square, range(20), executor=executor)) == [(i, i * i) for i in range(20)]
    if executor is not None:
        executor.shutdown()


def test_few_results_wait_for_the_caller() -> None:
    started = []

    def note(value: int) -> int:
        started.append(value)
        return value

    with ThreadPoolExecutor(4) as executor:
        results = map_blocks(note, range(50), executor=executor, ahead=4)
        next(results)
        time.sleep(0.2)
        assert len(started) <= 5
        results.close()  # type: ignore[attr-defined]


def test_an_error_in_a_block_reaches_the_caller() -> None:
    def fail(value: int) -> int:
        raise ValueError(f"block {value}")

    with ThreadPoolExecutor(2) as executor, pytest.raises(ValueError, match="block 0"):
        list(map_blocks(fail, range(4), executor=executor))


def test_the_memory_sink_records_written_blocks() -> None:
    sink = MemorySink(np.zeros((4, 2, 2)))
    blocks = slab_grid((4, 2, 2), 2)
    sink.write(blocks[1], np.ones((2, 2, 2)))
    assert sink.pending(blocks) == blocks[:1]
    assert sink.array[:, 0, 0].tolist() == [0, 0, 1, 1]


def test_a_report_calls_progress_and_raises_past_the_deadline() -> None:
    seen = []
    Execution(progress=lambda done, total: seen.append((done, total))).report(1, 3)
    assert seen == [(1, 3)]
    late = Execution(deadline=time.monotonic() - 1)
    with pytest.raises(DeadlineError, match=r"after 1 of 3 blocks.*raise stage_timeout_s"):
        late.report(1, 3)
    late.report(3, 3)


def test_the_settings_choose_the_executor() -> None:
    with open_executor(ExecutionSettings(executor="threads", workers=1)) as executor:
        assert executor.submit(threading.current_thread).result() is not threading.main_thread()
    with open_executor(ExecutionSettings(executor="processes", workers=1)) as executor:
        assert executor.submit(os.getpid).result() != os.getpid()
    with pytest.raises(ParameterError, match="expected threads, processes or a Dask"):
        open_executor(ExecutionSettings(executor="slurm"))
