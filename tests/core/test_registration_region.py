"""Registration of a region by the maps of the full acquisition."""

import numpy as np
import pytest
from registration_scenes import make_stack

from spherovem_core.errors import RegistrationError
from spherovem_core.registration import Alignment, apply_alignment, register_stack
from spherovem_core.registration.full_run import cut_alignment

Z, Y, X = slice(2, 7), slice(24, 120), slice(30, 140)


@pytest.fixture(scope="module")
def slices() -> np.ndarray:
    return make_stack(count=9, shape=(128, 144), lean_px=(1.5, -1.0)).slices


@pytest.fixture(scope="module")
def full(slices: np.ndarray) -> Alignment:
    return register_stack(slices)


def test_a_region_shows_what_the_full_acquisition_shows_there(slices: np.ndarray, full: Alignment) -> None:
    part = slices[Z, Y, X]
    cut = cut_alignment(full.table, (Z.start, Y.start, X.start), part.shape)
    whole, region = apply_alignment(slices, full), apply_alignment(part, cut)
    top, left = cut.crop.y0 + Y.start - full.crop.y0, cut.crop.x0 + X.start - full.crop.x0
    assert min(top, left) >= 0
    shown = whole[Z, top : top + region.shape[1], left : left + region.shape[2]]
    assert shown.shape == region.shape
    assert region.shape[1] > 70
    # The kernel reaches two pixels beyond the region at its edges.
    inner = (slice(None), slice(3, -3), slice(3, -3))
    assert np.abs(shown[inner].astype(int) - region[inner]).max() <= 1


def test_the_table_of_a_region_counts_from_its_first_slice(slices: np.ndarray, full: Alignment) -> None:
    cut = cut_alignment(full.table, (Z.start, Y.start, X.start), slices[Z, Y, X].shape)
    assert list(cut.table.columns) == list(full.table.columns)
    assert cut.table["z"].tolist() == [0, 1, 2, 3, 4]
    assert cut.table["similarity_after"].tolist() == full.table["similarity_after"][Z].tolist()
    assert tuple(cut.table[[f"crop_{name}_px" for name in cut.crop._fields]].iloc[0]) == cut.crop


def test_a_region_outside_the_common_field_or_stack_is_an_error(full: Alignment) -> None:
    with pytest.raises(RegistrationError, match="choose a region within it"):
        cut_alignment(full.table, (0, 300, 0), (4, 40, 40))
    with pytest.raises(RegistrationError, match=r"9 slices.*register the full acquisition again"):
        cut_alignment(full.table, (6, 0, 0), (4, 40, 40))
