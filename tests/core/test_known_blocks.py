"""Results of blocks by content: evaluated where an array changed, taken over elsewhere."""

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spherovem_core.blocks import Block, block_grid
from spherovem_core.known_blocks import (
    KnownResults,
    RegionDigests,
    columns_from_text,
    columns_to_text,
    map_known_blocks,
)
from spherovem_core.store import Ledger


def total(block: Block, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {"total": values[block.core].sum(axis=0, keepdims=True)}


def totals(values: NDArray[Any], known: KnownResults | None, workers: int = 0) -> list[NDArray[Any]]:
    blocks = block_grid(values.shape, (2, 3))
    digests = RegionDigests(values)

    def digest(block: Block) -> str:
        return digests.of(block.core)

    if not workers:
        found = map_known_blocks(total, blocks, (values,), "totals", digest, known)
        return [columns["total"] for columns in found]
    with ThreadPoolExecutor(workers) as executor:
        found = map_known_blocks(total, blocks, (values,), "totals", digest, known, executor, 3)
        return [columns["total"] for columns in found]


@pytest.mark.parametrize("workers", [0, 2])
def test_only_blocks_that_changed_are_evaluated(workers: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((5, 8)).astype(np.float32)
    counts = []
    for place in (None, (0, 0), (4, 7)):
        if place is not None:
            values[place] = -values[place]
        known = KnownResults(Ledger(tmp_path / "ledger", "context"))
        for found, expected in zip(totals(values, known, workers), totals(values, None), strict=True):
            assert found.dtype == expected.dtype
            assert found.tobytes() == expected.tobytes()
        counts.append(known.counts["totals"])
    assert counts == [[9, 0], [1, 8], [1, 8]]


def test_a_block_of_the_same_values_elsewhere_is_another_block() -> None:
    known = KnownResults()
    totals(np.zeros((4, 6)), known)
    assert known.counts["totals"] == [4, 0]


def test_the_type_of_the_values_counts() -> None:
    values = np.zeros((2, 3), np.int32)
    region = (slice(0, 2), slice(0, 3))
    digests = {RegionDigests(values.astype(kind)).of(region) for kind in (np.int32, np.uint32, np.float32)}
    assert len(digests) == 3
    assert len({RegionDigests(values).of(region), RegionDigests(values, values).of(region)}) == 2


def test_arrays_come_back_from_text_bit_for_bit() -> None:
    columns = {
        "floats": np.array([0.1, -0.0, np.nan, np.inf, 1e-310]),
        "numbers": np.array([1, 2**32 - 1], np.uint32),
        "texts": np.array(["a", "µm"]),
        "empty": np.empty((0, 3), np.int64),
    }
    for name, found in columns_from_text(columns_to_text(columns)).items():
        assert (found.dtype, found.shape) == (columns[name].dtype, columns[name].shape)
        assert found.tobytes() == columns[name].tobytes()


def test_columns_survive_their_text() -> None:
    columns = {
        "labels": np.arange(5, dtype=np.uint32),
        "table": np.array([[0.1, np.nan], [-np.inf, 3e300]]),
        "names": np.array(["one", "zwei"]),
        "none": np.empty((0, 3), np.int32),
        "single": np.array(7),
    }
    found = columns_from_text(columns_to_text(columns))
    assert found.keys() == columns.keys()
    for name, values in columns.items():
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
        np.testing.assert_array_equal(found[name], values)


def test_columns_of_earlier_versions_are_read() -> None:
    file = BytesIO()
    np.savez_compressed(file, labels=np.arange(5))
    found = columns_from_text(b64encode(file.getvalue()).decode())
    np.testing.assert_array_equal(found["labels"], np.arange(5))
