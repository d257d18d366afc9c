"""Runs along x, the same for every integer type, byte order and memory layout."""

import numpy as np
import pytest

from spherovem_core.label_runs import find_label_runs


def plain_runs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts = np.ones(first.shape, bool)
    starts[..., 1:] = (first[..., 1:] != first[..., :-1]) | (second[..., 1:] != second[..., :-1])
    places = np.flatnonzero(starts)
    return places, np.diff(places, append=first.size)


@pytest.mark.parametrize("dtypes", [("u4", "u4"), (">u2", "?")])
def test_runs_end_where_either_volume_changes(dtypes: tuple[str, str]) -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 2, (3, 5, 17)).astype(dtype) for dtype in dtypes)
    for one, other in ((first, second), (first[:, ::2, ::-1], second[:, ::2, ::-1])):
        for found, expected in zip(find_label_runs(one, other), plain_runs(one, other), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_runs_of_one_volume_end_at_the_end_of_a_row() -> None:
    start, length = find_label_runs(np.ones((2, 3, 4), np.uint32))
    assert start.tolist() == [0, 4, 8, 12, 16, 20]
    assert length.tolist() == [4] * 6
    assert len(find_label_runs(np.ones((2, 3, 0), np.uint32))[0]) == 0
