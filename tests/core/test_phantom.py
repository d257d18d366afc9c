"""The phantom: the same bytes for a seed, sound labels, and a truth that the images show."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import fields

import cc3d
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import ndimage

from spherovem_core.synthetic.phantom import Phantom, PhantomParameters, make_phantom

SMALL = {"shape": (9, 72, 60), "spacing_nm": (90.0, 30.0, 30.0), "cell_diameter_um": 1.5,
         "nanoparticle_diameter_nm": 120.0}  # fmt: skip
STILL = {"jitter_shift_px": 0.0, "drift_shift_px": 0.0, "jitter_rotation_deg": 0.0, "jitter_scale": 0.0}
EVEN = {"gain_drift": 0.0, "offset_drift": 0.0, "shading": 0.0}
SILENT = {"read_noise": 0.0, "shot_noise": 0.0}


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    """Make about 100 cells of 2 µm in voxels of unequal sides."""
    return make_phantom(shape=(48, 160, 144), spacing_nm=(110.0, 40.0, 40.0), cell_diameter_um=2.2, seed=11)


def _same(one: Phantom, other: Phantom) -> bool:
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(Phantom)[2:]]
    return all(a.equals(b) if isinstance(a, pd.DataFrame) else np.array_equal(a, b) for a, b in pairs)


def test_executor_and_worker_count_change_no_byte() -> None:
    plain = make_phantom(seed=5, **SMALL)
    for workers in (1, 3):
        with ThreadPoolExecutor(workers) as executor:
            assert _same(plain, make_phantom(seed=5, executor=executor, **SMALL))
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        assert _same(plain, make_phantom(seed=5, executor=executor, **SMALL))
    assert not np.array_equal(plain.image, make_phantom(seed=6, **SMALL).image)


def test_parameters_and_overrides_give_the_same_phantom() -> None:
    parameters = PhantomParameters(seed=5, **SMALL)
    assert _same(make_phantom(parameters), make_phantom(seed=5, **SMALL))
    assert make_phantom(parameters, seed=6).parameters.seed == 6


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"shpe": (8, 64, 64)}, "shpe"),
        ({"shape": (8, 8, 64)}, "at least"),
        ({"spacing_nm": (50.0, 0.0, 10.0)}, "above zero"),
        ({"anucleate_fraction": 0.6, "binucleate_fraction": 0.6}, "lower one"),
        ({"nanoparticle_volume_fraction": 0.5}, "less than or equal"),
    ],
)
def test_bad_parameters_are_refused(fields: dict, word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        make_phantom(**fields)


def test_labels_are_contiguous_from_one(phantom: Phantom) -> None:
    for labels, values in (
        (phantom.cells, phantom.cell_volumes_um3),
        (phantom.nuclei, phantom.nucleus_volumes_um3),
        (phantom.nanoparticles, phantom.nanoparticle_volumes_um3),
    ):
        assert labels.dtype == np.uint32
        assert np.array_equal(np.unique(labels), np.arange(values.size + 1))


def test_each_cell_and_nucleus_is_one_piece(phantom: Phantom) -> None:
    for labels in (phantom.cells, phantom.nuclei):
        pieces = cc3d.connected_components(labels, connectivity=26)
        size = np.bincount(pieces.ravel())
        owner = np.zeros(size.size, int)
        owner[pieces.ravel()] = labels.ravel()
        # The border may cut a bent cell in two; only a few voxels may be apart.
        strays = [n for label in range(1, labels.max() + 1) for n in np.sort(size[owner == label])[:-1]]
        assert sum(strays) < 1e-4 * labels.size


def test_nuclei_lie_strictly_inside_their_cells_and_apart(phantom: Phantom) -> None:
    inside = phantom.nuclei > 0
    assert np.array_equal(phantom.nucleus_parents[phantom.nuclei[inside] - 1], phantom.cells[inside])
    # The nearest voxels (40 nm) around a nucleus still belong to the same cell and to no other nucleus.
    for labels, around in ((phantom.cells, phantom.cells), (phantom.nuclei, phantom.nuclei)):
        most = ndimage.maximum_filter(around, size=(1, 3, 3))[inside]
        assert np.array_equal(most, labels[inside])


def test_cells_have_none_one_or_two_nuclei(phantom: Phantom) -> None:
    # Only whole cells count: the border may hide a nucleus of the others.
    whole = np.setdiff1d(np.arange(1, phantom.cells.max() + 1), _on_border(phantom.cells))
    numbers = np.bincount(phantom.nucleus_parents, minlength=phantom.cells.max() + 1)[whole]
    assert whole.size >= 10
    assert numbers.max() <= 2
    assert np.mean(numbers == 1) > 0.6
    counts = np.bincount(phantom.nucleus_parents, minlength=phantom.cells.max() + 1)[1:]
    assert {0, 1, 2} <= set(counts.tolist())


def test_all_cells_can_have_no_nucleus_or_two() -> None:
    none = make_phantom(anucleate_fraction=1.0, binucleate_fraction=0.0, **SMALL)
    assert none.nuclei.max() == 0
    assert none.nucleus_parents.size == 0
    two = make_phantom(anucleate_fraction=0.0, binucleate_fraction=1.0, seed=2, **SMALL)
    assert np.bincount(two.nucleus_parents).max() == 2


def test_most_cells_touch(phantom: Phantom) -> None:
    assert 0.01 < np.mean(phantom.cells == 0) < 0.15
    pairs = cc3d.contacts(phantom.cells, connectivity=26)
    assert len(pairs) > 2 * phantom.cells.max()


def test_volumes_agree_with_voxel_counts(phantom: Phantom) -> None:
    voxel = np.prod(phantom.spacing_nm) * 1e-9
    # Counting two grids of n points inside a surface differs by a random error below 1 % at 2000.
    for labels, volumes in (
        (phantom.cells, phantom.cell_volumes_um3),
        (phantom.nuclei, phantom.nucleus_volumes_um3),
    ):
        counts = np.bincount(labels.ravel())[1:]
        large = counts > 2000
        assert large.sum() > 20
        np.testing.assert_allclose(counts[large] * voxel, volumes[large], rtol=0.03)
        np.testing.assert_allclose(counts.sum() * voxel, volumes.sum(), rtol=2e-3)
    assert np.all(phantom.cell_volumes_um3 > 0)


def test_cells_have_the_given_size() -> None:
    made = make_phantom(shape=(56, 96, 96), spacing_nm=(90.0, 50.0, 50.0), cell_diameter_um=1.2,
                        nanoparticle_volume_fraction=0.0, extracellular_fraction=0.0, **STILL)  # fmt: skip
    whole = np.setdiff1d(np.arange(1, made.cells.max() + 1), _on_border(made.cells))
    diameters = (6 / np.pi * made.cell_volumes_um3[whole - 1]) ** (1 / 3)
    assert whole.size > 40
    # Whole cells are smaller than average: large ones meet the border more often.
    assert diameters.mean() == pytest.approx(1.2, rel=0.12)
    assert diameters.std() / diameters.mean() == pytest.approx(0.12, abs=0.04)


def test_shapes_are_isotropic_in_micrometres(phantom: Phantom) -> None:
    spread = []
    for label in np.setdiff1d(np.arange(1, phantom.nuclei.max() + 1), _on_border(phantom.nuclei)):
        points = np.argwhere(phantom.nuclei == label) * phantom.spacing_nm
        spread.append(points.std(axis=0))
    mean = np.mean(spread, axis=0)
    assert len(spread) >= 12
    # 12 nuclei whose axes differ by some 15 % each: the means differ by about 5 %.
    np.testing.assert_allclose(mean / mean.mean(), 1, atol=0.12)


def test_agglomerates_are_the_connected_components_of_nanoparticles_outside_nuclei(phantom: Phantom) -> None:
    some = phantom.nanoparticles > 0
    again = cc3d.connected_components(some, connectivity=26)
    assert again.max() == phantom.agglomerates.max() < phantom.nanoparticles.max()
    assert len(np.unique(np.stack([again[some], phantom.agglomerates[some]]), axis=1).T) == again.max()
    assert np.array_equal(phantom.agglomerates > 0, some)
    rows = phantom.particles["agglomerate"].to_numpy()
    assert np.array_equal(rows[phantom.nanoparticles[some] - 1], phantom.agglomerates[some])
    assert np.mean(some) == pytest.approx(0.002, rel=0.2)
    assert not np.any(phantom.nuclei[some])


def test_parents_of_nanoparticles_are_the_cells_around_them(phantom: Phantom) -> None:
    some = phantom.nanoparticles > 0
    assert np.array_equal(phantom.nanoparticle_parents[phantom.nanoparticles[some] - 1], phantom.cells[some])


def test_the_given_fraction_of_nanoparticles_lies_outside_cells() -> None:
    made = make_phantom(shape=(40, 160, 160), cell_diameter_um=3.0, nanoparticle_diameter_nm=200.0,
                        extracellular_width_nm=900.0, extracellular_fraction=0.5,
                        nanoparticle_extracellular_fraction=0.3, nanoparticle_volume_fraction=0.01)  # fmt: skip
    outside = made.nanoparticle_volumes_um3[made.nanoparticle_parents == 0].sum()
    assert outside / made.nanoparticle_volumes_um3.sum() == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("fraction", [0.0, 0.0005, 0.03])
def test_nanoparticles_fill_the_given_fraction_of_the_volume(fraction: float) -> None:
    made = make_phantom(shape=(48, 128, 128), cell_diameter_um=3.0, nanoparticle_diameter_nm=160.0,
                        nanoparticle_volume_fraction=fraction)  # fmt: skip
    box = np.prod(np.multiply(made.spacing_nm, made.parameters.shape)) * 1e-9
    single = np.pi / 6 * 0.16**3
    # Balls centred inside reach the target; the border cuts off and adds parts of balls.
    assert made.nanoparticle_volumes_um3.sum() == pytest.approx(fraction * box, rel=0.1, abs=3 * single)
    assert (made.nanoparticles.max() == 0) == (fraction == 0)


def test_nanoparticles_are_brighter_than_the_tissue(phantom: Phantom) -> None:
    still = make_phantom(phantom.parameters, shape=(16, 256, 256), **STILL, **EVEN)
    truth = still.nanoparticles > 0
    found = still.image > 178
    assert 2 * np.sum(found & truth) / (found.sum() + truth.sum()) > 0.93
    core = ndimage.binary_erosion(truth, np.ones((1, 3, 3)))
    assert still.image[core].mean() == pytest.approx(220, abs=4)
    assert np.percentile(still.image[~ndimage.binary_dilation(truth, iterations=2)], 99.99) < 190


def test_transforms_undo_the_misplacement() -> None:
    made = make_phantom(shape=(12, 160, 144), cell_diameter_um=2.5, jitter_rotation_deg=1.0,
                        jitter_scale=0.01, seed=4, **EVEN, **SILENT)  # fmt: skip
    inner = slice(30, -30), slice(30, -30)
    for z, transform in enumerate(made.transforms):
        acquired = made.image[z].astype(float)
        back = ndimage.affine_transform(acquired, transform[:, :2], transform[:, 2], order=3)
        ideal = made.clean[z][inner].astype(float)
        aligned = np.corrcoef(back[inner].ravel(), ideal.ravel())[0, 1]
        assert aligned > 0.99
        assert aligned > np.corrcoef(acquired[inner].ravel(), ideal.ravel())[0, 1]
        # No constant band where the slice looks past the ideal frame.
        edges = (acquired[0], acquired[-1], acquired[:, 0], acquired[:, -1])
        assert all(edge.std() > 3 for edge in edges)


def test_misplacement_has_the_given_size() -> None:
    made = make_phantom(shape=(200, 16, 16), jitter_shift_px=2.0, drift_shift_px=0.0,
                        nanoparticle_volume_fraction=0.0, cell_diameter_um=20.0)  # fmt: skip
    middle = made.transforms @ [7.5, 7.5, 1] - 7.5
    np.testing.assert_allclose(middle.std(axis=0), 2.0, rtol=0.2)


def test_consecutive_slices_resemble_each_other() -> None:
    # Registration compares neighbours: over a few slices, they must have more in common than they differ in.
    made = make_phantom(shape=(12, 256, 256), nanoparticle_volume_fraction=0.0)
    clean = made.clean.reshape(12, -1).astype(float)
    likeness = np.corrcoef(clean)
    assert np.diag(likeness, 1).min() > 0.5
    assert np.diag(likeness, 1).mean() > np.diag(likeness, 3).mean() > 0.2


def test_each_slice_has_its_own_gain_and_offset() -> None:
    made = make_phantom(shape=(40, 48, 48), cell_diameter_um=2.0, gain_drift=0.1, offset_drift=6.0,
                        shading=0.0, **STILL, **SILENT)  # fmt: skip
    for z in range(40):
        slope, level = np.polyfit(made.clean[z].ravel(), made.image[z].ravel(), 1)
        assert slope == pytest.approx(made.gains[z], abs=0.01)
        assert level == pytest.approx(made.offsets[z], abs=1.5)
    # Half of the variance is slow, so that 40 slices hold about 20 independent values.
    assert made.gains.std() == pytest.approx(0.1, rel=0.5)
    assert made.offsets.std() == pytest.approx(6, rel=0.5)


def test_noise_is_read_noise_plus_shot_noise() -> None:
    made = make_phantom(shape=(16, 128, 128), cell_diameter_um=2.0, read_noise=3.0, shot_noise=8.0,
                        nanoparticle_volume_fraction=0.01, **STILL, **EVEN)  # fmt: skip
    residual = made.image.astype(float) - made.clean
    for low, high in ((60, 80), (110, 130), (215, 225)):
        level = (made.clean >= low) & (made.clean < high)
        expected = np.sqrt(9 + 64 * made.clean[level].mean() / 128 + 2 / 12)
        assert residual[level].std() == pytest.approx(expected, rel=0.06)


def test_a_phantom_may_have_one_slice_and_no_nanoparticle() -> None:
    made = make_phantom(shape=(1, 64, 80), spacing_nm=(50.0, 20.0, 10.0), nanoparticle_volume_fraction=0.0)
    assert made.image.shape == (1, 64, 80)
    assert made.nanoparticles.max() == 0
    assert made.nanoparticle_parents.size == 0


def _on_border(labels: np.ndarray) -> np.ndarray:
    faces = [np.take(labels, side, axis) for axis in range(3) for side in (0, -1)]
    return np.unique(np.concatenate([face.ravel() for face in faces]))
