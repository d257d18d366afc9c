"""Places of particles in the specimen mask, and the warning on particles at its border."""

import numpy as np
import pandas as pd
import pytest

from spherovem_core.nanoparticles.particle_places import border_warning, name_places
from spherovem_core.nanoparticles.specimen.codes import Specimen, code_fractions

FACTORS = (2, 12, 6)
SPACING_NM = (50.0, 10.0, 20.0)


@pytest.fixture
def specimen() -> Specimen:
    """Tissue of 10 x 12 x 14 tiles, with resin in the last three columns, a lumen and a streak of charging."""
    codes = np.ones((10, 12, 14), np.uint8)
    codes[:, :, 11:] = 0
    codes[4, 5, 6] = 2
    codes[7, 8] = 3
    tiles = (100.0, 120.0, 120.0)
    return Specimen(codes, tiles, FACTORS, code_fractions(codes))


def at(*tiles: tuple[int, int, int]) -> pd.DataFrame:
    """Place a particle on the last voxel of each tile."""
    voxels = (np.array(tiles).reshape(-1, 3) + 1) * FACTORS - 1
    columns = ["centroid_z_um", "centroid_y_um", "centroid_x_um"]
    return pd.DataFrame(voxels * np.array(SPACING_NM) / 1000, columns=columns)


def test_each_object_gets_the_name_of_its_tile(specimen: Specimen) -> None:
    objects = at((4, 5, 6), (4, 5, 7), (7, 8, 0), (9, 11, 13))
    assert name_places(objects, specimen).tolist() == ["lumen", "specimen", "charging", "outside"]
    assert name_places(objects.iloc[:0], specimen).shape == (0,)


def test_an_object_at_the_end_of_a_tile_that_the_image_fills_in_part_has_a_place(specimen: Specimen) -> None:
    beyond = at((9, 11, 13)) + 0.01
    assert name_places(beyond, specimen).tolist() == ["outside"]


def test_particles_at_the_border_or_outside_are_counted(specimen: Specimen) -> None:
    inner = [(z, y, 5) for z in range(4) for y in range(4)]
    warning = border_warning(at((3, 3, 10), (3, 4, 10), (5, 5, 13), *inner), specimen)
    assert warning is not None
    assert "3 of 19 nanoparticles" in warning
    assert "outside it (1)" in warning
    assert "find_resin" in warning
    assert "expected_diameter_nm" in warning


def test_a_tenth_of_the_particles_at_least_is_warned_of(specimen: Specimen) -> None:
    edge, inner = [(3, 3, 10), (3, 4, 10)], [(z, y, 5) for z in range(10) for y in range(12)]
    assert border_warning(at(*edge, *inner[:18]), specimen) is not None
    assert border_warning(at(*edge, *inner[:19]), specimen) is None
    # A tile further in is not at the border, and neither is one beside a lumen.
    assert border_warning(at((3, 3, 9), (3, 4, 9), (4, 5, 7), (4, 5, 5)), specimen) is None


def test_a_single_particle_at_the_border_is_no_reason_to_warn(specimen: Specimen) -> None:
    assert border_warning(at((3, 3, 10), (3, 3, 2)), specimen) is None
    assert border_warning(at(), specimen) is None
