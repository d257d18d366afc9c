"""Choice of slices: bad ones are left out, and the ends of the stack are taken."""

from spherovem_core.utils.slice_choice import good_slices, spread_evenly


def test_bad_slices_are_left_out() -> None:
    assert good_slices(6, (4, 0, 9)) == [1, 2, 3, 5]
    assert good_slices(2) == [0, 1]
    assert good_slices(2, (0, 1)) == []


def test_slices_are_spread_from_the_first_to_the_last() -> None:
    assert spread_evenly([3, 4, 5, 6, 9], 3) == [3, 5, 9]
    assert spread_evenly([3, 4, 5], 8) == [3, 4, 5]
    assert spread_evenly([], 8) == []
