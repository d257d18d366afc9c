"""Parts of the phantom: noise fields, packed cells, balls."""

import numpy as np
import pytest

from spherovem_core.synthetic.phantom.balls import Balls, volumes_inside
from spherovem_core.synthetic.phantom.cells import pack_cells
from spherovem_core.synthetic.phantom.noise import SmoothNoise
from spherovem_core.synthetic.phantom.parameters import PhantomParameters
from spherovem_core.synthetic.phantom.sample import build_sample

FIELD = SmoothNoise((3, 1), 0.3, (-1.0, -2.0, -0.5), (5.0, 6.0, 7.0))


def test_noise_has_mean_0_and_variance_1() -> None:
    values = FIELD.on_grid(np.linspace(-1, 5, 60), np.linspace(-2, 6, 90), np.linspace(-0.5, 7, 80))
    # 6 × 8 × 7.5 µm hold about 3000 independent values.
    assert values.mean() == pytest.approx(0, abs=0.08)
    assert values.std() == pytest.approx(1, abs=0.05)


def test_noise_is_equal_on_a_grid_at_points_and_slice_by_slice() -> None:
    z, y, x = np.linspace(-1, 5, 7), np.linspace(-2, 6, 9), np.linspace(-0.5, 7, 5)
    whole = FIELD.on_grid(z, y, x)
    points = np.stack(np.meshgrid(z, y, x, indexing="ij"), axis=-1).reshape(-1, 3)
    np.testing.assert_allclose(FIELD.at_points(points).reshape(whole.shape), whole, atol=1e-4)
    for k in range(7):
        assert np.array_equal(FIELD.on_grid(z[k : k + 1], y, x)[0], whole[k])
    assert FIELD.at_points(np.empty((0, 3))).shape == (0,)


def test_noise_is_smooth() -> None:
    fine = FIELD.on_grid(np.array([1.0]), np.array([1.0]), np.linspace(0, 6, 6001))[0, 0].astype(float)
    assert np.abs(np.diff(fine)).max() < 0.02  # 1 nm of 300 nm


def test_blocks_find_the_same_cells_as_all_pairs() -> None:
    parameters = PhantomParameters(cell_diameter_um=3.0, cell_elongation=0.2, cell_diameter_cv=0.2)
    cells = pack_cells(parameters, np.array([0.0, 0.0, 0.0]), np.array([8.0, 9.0, 10.0]))
    points = np.random.default_rng(1).uniform((0, 0, 0), (8, 9, 10), (4000, 3)).astype(np.float32)
    cell, depth = cells.locate(*np.ascontiguousarray(points.T))
    offsets = points[:, None] - cells.seeds_um
    pulled = np.einsum("sij,psj->psi", cells.metrics, offsets)
    values = np.einsum("psi,psi->ps", offsets, pulled) - cells.radii_um**2
    best = values.argmin(axis=1)
    assert np.mean(cell == best) > 0.9995  # float32 ties
    rows = np.arange(len(points))
    slope = 2 * np.linalg.norm(pulled - pulled[rows, best][:, None], axis=-1)
    away = (values - values[rows, best][:, None]) / np.maximum(slope, 1e-9)
    away[rows, best] = np.inf
    expected = -cells.rounding_um * np.log(np.exp(-away / cells.rounding_um).sum(axis=1))
    near = expected < 0.8 * cells.reach_um
    np.testing.assert_allclose(depth[near], expected[near], atol=0.02 * cells.rounding_um + 1e-3)
    assert np.all(depth[~near] > 0.75 * cells.reach_um)


@pytest.mark.parametrize(
    ("centre", "fraction"),
    [
        ((2.0, 2.0, 2.0), 1.0),
        ((0.0, 2.0, 2.0), 0.5),
        ((2.0, 4.0, 2.0), 0.5),
        ((4.0, 2.0, 0.0), 0.25),
        ((0.0, 0.0, 4.0), 0.125),
        ((0.25, 2.0, 2.0), 27 / 32),  # a cap of height r / 2 is 5/32 of the ball
        ((-1.0, 2.0, 2.0), 0.0),
    ],
)
def test_volume_of_a_ball_in_a_box_equals_the_closed_form(
    centre: tuple[float, float, float], fraction: float
) -> None:
    zero = np.zeros(1, int)
    ball = Balls(np.array([centre]), np.array([0.5]), np.zeros(1), zero, zero, zero, zero)
    volume = volumes_inside(ball, np.zeros(3), np.full(3, 4.0))
    assert volume[0] == pytest.approx(fraction * np.pi / 6, abs=1e-3 * np.pi / 6)


def test_balls_are_disjoint_and_cross_no_membrane() -> None:
    sample = build_sample(
        PhantomParameters(shape=(40, 128, 128), cell_diameter_um=3.0, nanoparticle_diameter_nm=200.0,
                          nanoparticle_volume_fraction=0.02)
    )  # fmt: skip
    balls = sample.particles
    apart = np.linalg.norm(balls.centres_um[:, None] - balls.centres_um, axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert np.all(apart >= balls.radii_um[:, None] + balls.radii_um - 1e-9)
    # As in an endosome, most touch another: their surfaces lie within a tenth of a radius.
    gaps = (apart - balls.radii_um[:, None] - balls.radii_um).min(axis=1)
    assert np.mean(gaps < 0.02) > 0.7
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((len(balls), 20, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    surface = balls.centres_um[:, None] + directions * balls.radii_um[:, None, None]
    located = sample.tissue.locate_points(surface.reshape(-1, 3))
    inside = np.repeat(balls.cells >= 0, 20)
    assert np.array_equal(located.cell[inside], np.repeat(balls.cells, 20)[inside])
    assert np.all(located.cell_depth_um[inside] > 0)
    assert np.all(located.cell_depth_um[~inside] < 0)
    assert np.all(located.nucleus_depth_um < 0)


def test_sample_is_small_enough_to_send_to_workers() -> None:
    import pickle

    assert len(pickle.dumps(build_sample(PhantomParameters()))) < 5e6
