"""Order, gaps and duplicates from file names."""

import random

import pytest

from spherovem_core.ingest.numbering import natural_key, number_slices, ranges


def test_natural_order_puts_9_before_10() -> None:
    names = [f"slice_{n}.tif" for n in (1, 2, 9, 10, 11, 100)]
    shuffled = random.Random(0).sample(names, len(names))
    assert sorted(shuffled, key=natural_key) == names


@pytest.mark.parametrize(
    "pattern",
    [
        "slice_{:04d}.tif",
        "slice_{}.ome.tif",
        "2024-03-01_slice{:05d}_8bit.tiff",
        "SEM Image - SliceImage - {:03d}.tif",
        "grid2_roi1_s{:04d}_z=7nm.tif",
    ],
)
def test_the_number_that_differs_is_the_slice_number(pattern: str) -> None:
    names = [pattern.format(n) for n in (3, 4, 7)]
    numbering = number_slices(names)
    assert [numbering.numbers[name] for name in names] == [3, 4, 7]
    assert not numbering.strays


def test_of_two_numbers_that_differ_the_one_of_smaller_range_counts() -> None:
    """A depth or a time of day beside the slice number is no slice number."""
    names = [f"slice_{n:05d}_z={n * 40 / 1000:.4f}um_10-{n:02d}-{n * 13 % 60:02d}.tif" for n in range(30)]
    assert list(number_slices(names).numbers.values()) == list(range(30))


def test_a_file_of_another_pattern_is_a_stray() -> None:
    numbering = number_slices(["overview.tif", "slice_1.tif", "slice_2.tif", "slice_3.tif"])
    assert numbering.strays == ("overview.tif",)


def test_names_without_numbers_have_no_numbering() -> None:
    assert not number_slices(["bottom.tif", "middle.tif", "top.tif"]).numbers


def test_consecutive_numbers_are_written_as_ranges() -> None:
    assert ranges([7, 1, 3, 4, 5, 9, 10]) == "1, 3 to 5, 7, 9, 10"
    assert ranges(range(0, 40, 2), limit=2) == "0, 2 and 18 more"
