import numpy as np
import pytest

from spherovem_core.segmentation.contact_features import (
    CONTACT_FEATURE_COUNT,
    MAPS,
    Side,
    contact_features,
    contact_maps,
)

ONE, OTHER = Side(60.0, 0.05), Side(400.0, 0.15)


def sums_over(probabilities):
    """Return the sums of the maps over faces with these probabilities of a boundary."""
    return contact_maps(np.array(probabilities, np.float32)).sum(axis=1, dtype=np.float64)


def test_features_are_those_of_the_faces_and_of_both_sides():
    found = contact_features(12.0, sums_over([0.1, 0.3, 0.6, 1.0]), 4, ONE, OTHER)
    values = np.array([0.1, 0.3, 0.6, 1.0])
    expected = [0.5, values.std(), 0.75, 0.5, 0.05, 0.15, 0.5 - 0.1, np.log(13), 12 / 60]
    assert len(found) == CONTACT_FEATURE_COUNT
    assert np.allclose(found, expected, atol=1e-6)


def test_features_do_not_depend_on_which_object_comes_first():
    sums = sums_over([0.2, 0.4])
    assert np.array_equal(
        contact_features(2.0, sums, 2, ONE, OTHER), contact_features(2.0, sums, 2, OTHER, ONE)
    )


def test_features_of_a_longer_contact_differ_in_its_size_alone():
    short, long = (contact_features(2.0 * n, n * sums_over([0.2, 0.4]), 2.0 * n, ONE, OTHER) for n in (1, 5))
    assert np.allclose(short[:7], long[:7], atol=1e-6)
    assert long[8] == pytest.approx(5 * short[8])


def test_contact_without_faces_or_surface_gives_numbers():
    found = contact_features(0.0, np.zeros(len(MAPS)), 0, Side(0.0, 0.0), Side(0.0, 0.0))
    assert np.isfinite(found).all()
