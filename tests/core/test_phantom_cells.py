"""Cells of the phantom that divide, are dead, or have many nuclei or none."""

from typing import Any

import numpy as np
import pytest

from spherovem_core.synthetic.phantom import Phantom, make_phantom

SHAPE = {"shape": (30, 120, 110), "spacing_nm": (100.0, 40.0, 50.0), "cell_diameter_um": 2.5, "seed": 6,
         "read_noise": 0.0, "shot_noise": 0.0}  # fmt: skip


def made(*scenes: str, **changes: Any) -> Phantom:
    return make_phantom(scenes=scenes, **SHAPE, **changes)


def numbers(phantom: Phantom) -> np.ndarray:
    """Count the visible nuclei of each cell."""
    return np.bincount(phantom.nucleus_parents, minlength=phantom.cells.max() + 1)[1:]


@pytest.mark.parametrize(
    ("scene", "state", "fraction"),
    [
        ("dividing-cells", "dividing", 0.25),
        ("dead-cells", "dead", 0.25),
        ("many-nuclei", "multinucleate", 0.3),
    ],
)
def test_the_given_fraction_of_cells_is_in_the_state(scene: str, state: str, fraction: float) -> None:
    phantom = made(scene)
    assert len(phantom.cell_states) == phantom.cells.max() > 25
    assert set(phantom.cell_states) <= {"interphase", state}
    # The fraction holds among the 40 most visible cells; the rest of some 60 are slivers.
    assert np.mean(phantom.cell_states == state) == pytest.approx(fraction, abs=0.12)


def test_without_a_scene_all_cells_are_in_interphase() -> None:
    assert set(made().cell_states) == {"interphase"}


def test_cells_with_many_nuclei_have_three_to_six_apart_from_each_other() -> None:
    phantom = made("many-nuclei")
    many = numbers(phantom)[phantom.cell_states == "multinucleate"]
    assert many.max() > 2
    assert many.max() <= 6
    others = numbers(phantom)[phantom.cell_states == "interphase"]
    assert others.max() <= 2
    inside = phantom.nuclei > 0
    assert np.array_equal(phantom.nucleus_parents[phantom.nuclei[inside] - 1], phantom.cells[inside])
    # No nucleus has another one as its neighbour.
    right = (phantom.nuclei[:, :, 1:] > 0) & (phantom.nuclei[:, :, :-1] > 0)
    assert np.array_equal(phantom.nuclei[:, :, 1:][right], phantom.nuclei[:, :, :-1][right])


def test_chromosomes_of_dividing_cells_are_dark_and_flat() -> None:
    plain, phantom = made(), made("dividing-cells")
    dividing = np.flatnonzero(phantom.cell_states == "dividing") + 1
    plates = np.isin(phantom.nuclei, np.flatnonzero(np.isin(phantom.nucleus_parents, dividing)) + 1)
    living = (phantom.nuclei > 0) & ~plates
    assert phantom.clean[plates].mean() < phantom.clean[living].mean() - 25
    assert (
        plates.sum() / np.isin(phantom.cells, dividing).sum()
        < (plain.nuclei > 0).sum() / (plain.cells > 0).sum()
    )
    assert np.array_equal(plain.cells, phantom.cells)


def test_dead_cells_are_dark_and_shrunken_and_have_a_small_nucleus() -> None:
    plain, phantom = made(), made("dead-cells")
    dead = np.flatnonzero(phantom.cell_states == "dead") + 1
    body = np.isin(phantom.cells, dead)
    assert phantom.clean[body].mean() < phantom.clean[(phantom.cells > 0) & ~body].mean() - 15
    assert np.array_equal(phantom.cells[~body] > 0, (plain.cells > 0)[~body] & (phantom.cells > 0)[~body])
    assert (phantom.cells > 0).sum() < (plain.cells > 0).sum()
    of_dead = np.isin(phantom.nucleus_parents, dead)
    volume = phantom.nucleus_volumes_um3
    # The largest are whole; others are cut by the border.
    assert volume[of_dead].max() < 0.5 * volume[~of_dead].max()


def test_half_of_the_cells_can_be_without_a_nucleus() -> None:
    assert np.mean(numbers(made("no-nuclei")) == 0) > 0.4
