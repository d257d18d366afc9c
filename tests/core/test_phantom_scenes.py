"""Scenes of the phantom: each shows what it says, with its exact truth, and nothing else."""

from typing import Any

import cc3d
import numpy as np
import pytest
from scipy import ndimage

from spherovem_core.errors import ParameterError
from spherovem_core.synthetic.phantom import SCENES, Phantom, PhantomParameters, make_phantom, settings_of

SPACING = (90.0, 30.0, 40.0)
SMALL: dict[str, Any] = {"shape": (14, 96, 88), "spacing_nm": SPACING, "cell_diameter_um": 2.5, "seed": 4,
                         "nanoparticle_diameter_nm": 200.0, "nanoparticle_volume_fraction": 0.004}  # fmt: skip
STILL = {"jitter_shift_px": 0.0, "drift_shift_px": 0.0, "jitter_rotation_deg": 0.0, "jitter_scale": 0.0,
         "gain_drift": 0.0, "offset_drift": 0.0, "shading": 0.0}  # fmt: skip
SILENT = {"read_noise": 0.0, "shot_noise": 0.0}


def made(*scenes: str, **changes: Any) -> Phantom:
    return make_phantom(PhantomParameters(**SMALL, **STILL), scenes=scenes, **changes)


@pytest.fixture(scope="module")
def plain() -> Phantom:
    return made()


def test_a_scene_sets_its_parameters_and_overrides_win() -> None:
    parameters = made("resin", resin_grey=190.0).parameters
    assert parameters.resin_fraction == SCENES["resin"].sets["resin_fraction"]
    assert parameters.resin_grey == 190


def test_an_unknown_scene_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ParameterError, match="did you mean resin"):
        settings_of(["resinn"])


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_gives_the_same_bytes_twice_and_changes_the_image(name: str, plain: Phantom) -> None:
    one, other = made(name), made(name)
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.nanoparticles, other.nanoparticles)
    assert np.array_equal(one.others, other.others)
    assert one.image.shape == plain.image.shape
    assert not np.array_equal(one.image, plain.image)


def test_particles_have_a_label_each_and_lie_where_the_table_says(plain: Phantom) -> None:
    table = plain.particles
    assert len(table) == plain.nanoparticles.max() > 4
    voxels = np.bincount(plain.nanoparticles.ravel())[1:] * np.prod(SPACING) * 1e-9
    # Voxel counts of some 40 voxels scatter by about 10 %.
    np.testing.assert_allclose(voxels.sum(), table["volume_um3"].sum(), rtol=0.1)
    whole = np.setdiff1d(table["label"], _on_border(plain.nanoparticles))
    assert whole.size > 3
    for label in whole:
        centre = np.argwhere(plain.nanoparticles == label).mean(axis=0) * SPACING
        row = table.iloc[label - 1]
        np.testing.assert_allclose(
            centre, row[["centre_z_nm", "centre_y_nm", "centre_x_nm"]].astype(float), atol=45
        )
        ball = np.pi / 6 * (row["diameter_nm"] / 1000) ** 3
        assert row["volume_um3"] == pytest.approx(ball)


def test_a_particle_smaller_than_a_voxel_owns_one() -> None:
    phantom = made("sizes", nanoparticle_diameter_range_px=(0.4, 0.5), nanoparticle_volume_fraction=1e-5)
    sizes = np.bincount(phantom.nanoparticles.ravel())[1:]
    assert len(sizes) == len(phantom.particles) > 10
    assert np.all(sizes == 1)


def test_sizes_are_even_on_a_logarithmic_scale() -> None:
    phantom = made("sizes", nanoparticle_volume_fraction=0.01)
    pixels = phantom.particles["diameter_nm"] / phantom.parameters.pixel_um / 1000
    assert pixels.between(1, 10).all()
    # 60 particles or more: the median of log sizes is within 0.3 of that of an even distribution.
    assert len(pixels) > 60
    assert np.median(np.log10(pixels)) == pytest.approx(0.5, abs=0.15)


def test_particles_in_clumps_touch() -> None:
    phantom = made("clumps", nanoparticle_volume_fraction=0.01)
    number = phantom.particles.groupby("agglomerate")["label"].size()
    # Cytoplasm is scarce here: many clumps lose the balls that do not fit.
    assert number.mean() > 2
    assert number.max() >= 6


def test_two_kinds_have_their_own_grey_size_and_volume() -> None:
    phantom = made("two-kinds", second_volume_fraction=0.003)
    populations = phantom.populations.set_index("population")
    assert list(populations.index) == [1, 2]
    assert populations["grey"].tolist() == pytest.approx([220, 180], abs=6)
    assert populations["diameter_nm"].tolist() == pytest.approx([200, 240], rel=0.08)
    for population, fraction in ((1, 0.004), (2, 0.003)):
        rows = phantom.particles[phantom.particles["population"] == population]
        box = np.prod(np.multiply(SPACING, phantom.image.shape)) * 1e-9
        single = np.pi / 6 * 0.24**3
        assert rows["volume_um3"].sum() == pytest.approx(fraction * box, abs=3 * single)
        some = np.isin(phantom.nanoparticles, rows["label"])
        core = ndimage.binary_erosion(some, np.ones((1, 3, 3)))
        assert phantom.image[core].mean() == pytest.approx(rows["grey"].mean(), abs=6)


@pytest.mark.parametrize(
    ("scenes", "changes", "place"),
    [
        (("at-membranes",), {"nanoparticle_membrane_fraction": 1.0, "nanoparticle_extracellular_fraction": 0.0}, "membrane"),
        (("resin",), {"nanoparticle_resin_fraction": 1.0, "nanoparticle_extracellular_fraction": 0.0}, "resin"),
        (("vesicles",), {"nanoparticle_extracellular_fraction": 0.0}, "cytoplasm"),
    ],
)  # fmt: skip
def test_particles_lie_in_their_place(scenes: tuple[str, ...], changes: dict[str, float], place: str) -> None:
    phantom = made(*scenes, **changes)
    assert len(phantom.particles) > 3
    assert set(phantom.particles["place"]) == {place}
    some = phantom.nanoparticles > 0
    if place == "resin":
        assert not phantom.specimen[some].any()
        assert not phantom.cells[some].any()
    elif place == "cytoplasm":
        assert phantom.cells[some].all()
    else:
        # A membrane lies within the particle or a voxel away from it.
        near = ndimage.grey_dilation(phantom.cells, (3, 3, 3)) != ndimage.grey_erosion(
            phantom.cells, (3, 3, 3)
        )
        assert len(np.unique(phantom.nanoparticles[near & some])) == len(phantom.particles)


@pytest.mark.parametrize("fraction", [0.1, 0.4])
@pytest.mark.parametrize("scene", ["resin", "spheroid", "dark-resin"])
def test_resin_has_its_fraction_its_grey_and_no_tissue(scene: str, fraction: float) -> None:
    phantom = made(scene, resin_fraction=fraction, **SILENT)
    resin = phantom.specimen == 0
    # The border is set on 32 points per axis.
    assert resin.mean() == pytest.approx(fraction, abs=0.02)
    assert not phantom.cells[resin].any()
    assert not phantom.nuclei[resin].any()
    deep = ndimage.binary_erosion(resin, np.ones((1, 7, 7)), border_value=1)
    assert phantom.image[deep].mean() == pytest.approx(phantom.parameters.resin_grey, abs=3)
    assert phantom.image[deep].std() == pytest.approx(phantom.parameters.resin_grey_sd, rel=0.4)


def test_resin_leaves_the_tissue_far_from_it_as_it_was(plain: Phantom) -> None:
    phantom = made("resin")
    far = ndimage.distance_transform_edt(phantom.specimen, sampling=SPACING) > 1500
    assert far.mean() > 0.1
    assert np.array_equal(phantom.cells[far] > 0, plain.cells[far] > 0)
    cut = cc3d.statistics(phantom.cells)["voxel_counts"][1:]
    assert cut.max() > 1000


def test_lumina_have_their_fraction() -> None:
    phantom = made("lumina", lumen_diameter_um=1.0)
    assert (phantom.specimen == 0).mean() == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    ("scene", "kind", "field"),
    [
        ("droplets", "lipid droplet", "droplet"),
        ("lysosomes", "lysosome", "lysosome"),
        ("dark-lysosomes", "lysosome", "lysosome"),
    ],
)
def test_round_bodies_are_others_of_their_size_and_grey(
    scene: str, kind: str, field: str, plain: Phantom
) -> None:
    limits = (0.3, 0.5)
    changes = {f"{field}_volume_fraction": 0.02, f"{field}_diameter_um": limits}
    phantom = made(scene, **changes, **SILENT)
    table = phantom.other_objects
    assert len(table) == phantom.others.max() > 2
    assert set(table["kind"]) == {kind}
    assert table["diameter_nm"].between(1000 * limits[0], 1000 * limits[1]).all()
    some = phantom.others > 0
    assert some.sum() * np.prod(SPACING) * 1e-9 == pytest.approx(table["volume_um3"].sum(), rel=0.05)
    assert not (some & (phantom.nanoparticles > 0)).any()
    assert not phantom.nuclei[some].any()
    core = ndimage.binary_erosion(some, np.ones((1, 3, 3)))
    expected = table["grey"].to_numpy()[phantom.others[core] - 1].mean()
    assert phantom.image[core].mean() == pytest.approx(expected, abs=6)
    # The tissue stays what it was.
    assert np.array_equal(phantom.cells, plain.cells)
    away = ~ndimage.binary_dilation(some, np.ones((3, 9, 9)))
    away &= ~ndimage.binary_dilation(
        (phantom.nanoparticles > 0) | (plain.nanoparticles > 0), np.ones((5, 13, 13))
    )
    # Vesicles of particles beyond the border may differ too.
    assert np.mean(phantom.clean[away] == plain.clean[away]) > 0.999


@pytest.mark.parametrize("scene", ["heterochromatin", "dark-heterochromatin"])
def test_patches_of_chromatin_lie_in_nuclei(scene: str) -> None:
    phantom = made(scene, heterochromatin_fraction=0.1, **SILENT)
    some = phantom.others > 0
    assert phantom.nuclei[some].all()
    # Patches keep away from the envelope, so they cover less than their fraction of the whole nucleus.
    assert 0.03 < some.sum() / (phantom.nuclei > 0).sum() < 0.15
    again = cc3d.connected_components(some, connectivity=26)
    assert again.max() == len(phantom.other_objects)
    core = ndimage.binary_erosion(some, np.ones((1, 5, 5)))
    assert phantom.image[core].mean() == pytest.approx(phantom.parameters.heterochromatin_grey, abs=5)


def test_dark_polarity_is_the_inverse_of_the_bright_one() -> None:
    plain, phantom = made(**SILENT), made("dark", **SILENT)
    # Two roundings, of g and of 255 - g.
    assert np.abs(phantom.image.astype(int) + plain.image - 255).max() <= 1
    assert np.array_equal(phantom.nanoparticles, plain.nanoparticles)


def test_16_bits_hold_particles_far_brighter_than_all_else(plain: Phantom) -> None:
    phantom = made("sixteen-bit")
    assert phantom.image.dtype == phantom.clean.dtype == np.uint16
    rare = phantom.particles["grey"] == 3000
    assert rare.sum() == 1
    core = ndimage.binary_erosion(
        np.isin(phantom.nanoparticles, phantom.particles["label"][rare]), np.ones((1, 3, 3))
    )
    assert phantom.clean[core].mean() == pytest.approx(1000 + 16 * 3000, rel=0.03)
    tissue = np.percentile(phantom.image, (1, 99))
    np.testing.assert_allclose((tissue - 1000) / 16, np.percentile(plain.image, (1, 99)), atol=2)


def _on_border(labels: np.ndarray) -> np.ndarray:
    faces = [np.take(labels, side, axis) for axis in range(3) for side in (0, -1)]
    return np.unique(np.concatenate([face.ravel() for face in faces]))
