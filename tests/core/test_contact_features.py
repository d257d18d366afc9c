import numpy as np

from spherovem_core.segmentation.contact_features import (
    CONTACT_FEATURE_COUNT,
    MAPS,
    Side,
    contact_features,
)


def side(seed, surface, volume):
    return Side(surface, volume, np.random.default_rng(seed).random(len(MAPS)))


def test_features_do_not_depend_on_which_object_comes_first():
    one, other = side(0, 60.0, 200.0), side(1, 400.0, 3000.0)
    sums = np.random.default_rng(2).random(len(MAPS) + 2)
    found = contact_features(2.0, sums, 2, one, other)
    assert len(found) == CONTACT_FEATURE_COUNT
    assert np.array_equal(found, contact_features(2.0, sums, 2, other, one))


def test_features_of_a_longer_contact_differ_in_its_size_alone():
    one, other = side(0, 60.0, 200.0), side(1, 400.0, 3000.0)
    sums = np.random.default_rng(2).random(len(MAPS) + 2)
    short, long = (contact_features(2.0 * n, n * sums, 2.0 * n, one, other) for n in (1, 5))
    size = np.zeros(CONTACT_FEATURE_COUNT, bool)
    size[[26, 29, 30]] = True
    assert np.allclose(short[~size], long[~size], atol=1e-6)
    assert (long[size] > short[size]).all()


def test_contact_without_faces_or_surface_gives_numbers():
    empty = Side(0.0, 0.0, np.zeros(len(MAPS)))
    assert np.isfinite(contact_features(0.0, np.zeros(len(MAPS) + 2), 0, empty, empty)).all()
