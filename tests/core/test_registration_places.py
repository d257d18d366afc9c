"""Places of slices along z by their thickness, even steps, and the warp that resamples."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from registration_scenes import make_stack

from spherovem_core.blocks import MemorySink
from spherovem_core.errors import RegistrationError
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.registration import Alignment, apply_alignment, register_stack, warp_stack
from spherovem_core.registration.affine import IDENTITY
from spherovem_core.registration.crop import Rectangle
from spherovem_core.registration.full_run import cut_alignment
from spherovem_core.registration.slice_places import PlacedSlices, mix_at_even_steps, place_by_thickness

STEP_NM = 50.0


def thickness_table(
    distances: NDArray[np.float64], uncertainty: float, bad: tuple[int, ...] = ()
) -> pd.DataFrame:
    """Make a table as if the thickness had been found exactly; `distances` are those of the good slices."""
    count = len(distances) + 1 + len(bad)
    good = [z for z in range(count) if z not in bad]
    relative, stated = np.full(count, np.nan), np.full(count, np.nan)
    relative[good[1:]], stated[good[1:]] = distances / np.diff(good), uncertainty
    return pd.DataFrame(
        {
            "used": np.isin(range(count), good),
            "thickness_relative": relative,
            "thickness_uncertainty": stated,
        }
    )


def uneven(count: int, seed: int = 0, spread: float = 0.2) -> NDArray[np.float64]:
    distances = np.clip(1.0 + spread * np.random.default_rng(seed).standard_normal(count - 1), 0.4, 1.8)
    return distances * (count - 1) / distances.sum()


def test_slices_are_placed_by_their_thickness_and_the_depth_is_kept() -> None:
    distances = uneven(40)
    placed = place_by_thickness(thickness_table(distances, 0.02))
    assert placed.reason == ""
    places = placed.slices.places
    assert (places[0], places[-1]) == (0.0, 39.0)
    # What changes over more than 30 slices is taken away: 0.035 of a step here.
    np.testing.assert_allclose(np.diff(places), distances, atol=0.04)
    assert placed.slices.count == 40


def test_uncertain_deviations_count_less() -> None:
    distances = uneven(60)
    error = [
        np.diff(place_by_thickness(thickness_table(distances, u)).slices.places) - 1.0 for u in (0.01, 0.1)
    ]
    slope = np.polyfit(error[0], error[1], 1)[0]
    spread = (distances - 1.0).std()
    assert slope == pytest.approx((spread**2 - 0.1**2) / spread**2, abs=0.02)


def test_even_slices_do_not_move_at_all() -> None:
    for seed in range(6):
        found = 1.0 + 0.06 * np.random.default_rng(seed).standard_normal(29)
        placed = place_by_thickness(thickness_table(found, 0.06))
        assert placed.harmless
        assert "even within its uncertainty of 6%" in placed.reason
        assert placed.slices.mixtures is None


def test_slices_of_uncertain_or_unknown_thickness_keep_even_steps_with_a_reason() -> None:
    poor = place_by_thickness(thickness_table(uneven(40), 0.3))
    assert poor.slices.mixtures is None
    assert not poor.harmless
    assert poor.reason == "their thickness is known to 30% only, too little to place them"
    unknown = place_by_thickness(thickness_table(np.full(30, np.nan), 0.1))
    assert unknown.reason == "their thickness is not known"
    assert unknown.details() == {"even_steps": {"reason": unknown.reason, "harmless": False}}


def test_bad_slices_are_bridged_and_lie_between_their_neighbours() -> None:
    distances = uneven(40)
    distances[9] = 2.4
    placed = place_by_thickness(thickness_table(distances, 0.02, bad=(0, 11, 42)))
    places, slices = placed.slices.places, placed.slices
    assert places[[0, 1, 41, 42]].tolist() == [0.0, 1.0, 41.0, 42.0]
    assert places[12] - places[10] > 2.2
    assert places[11] == pytest.approx(places[[10, 12]].mean(), abs=1e-6)
    assert slices.mixtures is not None
    shown = {z for mixture in slices.mixtures for z, _ in mixture}
    assert shown == set(range(43)) - {0, 11, 42}
    assert slices.mixtures[0] == slices.mixtures[1] == ((1, 1.0),)
    bad = slices.showing([0, 11, 42])
    assert bad[0] == 0
    assert bad[-1] == 42
    assert [abs(k - places[11]) < 1.1 for k in bad[1:-1]] == [True] * len(bad[1:-1])


def test_even_places_show_one_slice_each() -> None:
    assert mix_at_even_steps(np.arange(6.0), range(6), 6) == tuple(((z, 1.0),) for z in range(6))


def test_thick_slices_are_interpolated_linearly() -> None:
    mixtures = mix_at_even_steps(np.array([0.0, 1.6, 3.2, 5.0]), range(4), 6)
    assert [z for z, _ in mixtures[1]] == [0, 1]
    assert dict(mixtures[1])[1] == pytest.approx(1 / 1.6)
    assert mixtures[5] == ((3, 1.0),)


@pytest.mark.parametrize("seed", range(5))
def test_every_slice_has_its_part_and_parts_sum_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    distances = rng.uniform(0.25, 2.0, 49)
    places = np.concatenate([[0.0], np.cumsum(distances * 49 / distances.sum())])
    mixtures = mix_at_even_steps(places, range(50), 50)
    total = np.zeros(50)
    for mixture in mixtures:
        assert sum(weight for _, weight in mixture) == pytest.approx(1.0)
        for z, weight in mixture:
            total[z] += weight
    assert total.min() > 0.05


def test_the_nearest_slice_is_found_for_every_place() -> None:
    slices = RegisteredSlices(np.array([-0.2, 0.9, 1.3, 3.1]), tuple(((0, 1.0),) for _ in range(4)))
    assert slices.nearest().tolist() == [0, 1, 2, 3]
    assert slices.showing([1, 3]) == [1, 3]
    assert slices.in_acquisition(np.array([0.9, 1.1])).tolist() == pytest.approx([1.0, 1.5])
    assert slices.positions_um(50.0).tolist() == pytest.approx([-0.01, 0.045, 0.065, 0.155])
    assert RegisteredSlices.of(slices.details(), 4).mixtures == slices.mixtures
    even = RegisteredSlices.of({}, 5)
    assert even.showing([2]) == [2]
    assert even.details() == {}


def straight(slices: NDArray[np.uint8], places: NDArray[np.float64]) -> Alignment:
    """Place slices along z without a motion in the plane."""
    count = len(slices)
    crop = Rectangle(0, slices.shape[1], 0, slices.shape[2])
    table = pd.DataFrame({"used": np.ones(count, bool), "registered_z_um": places * STEP_NM / 1000})
    elements = ("map_yy", "map_yx", "map_y_px", "map_xy", "map_xx", "map_x_px")
    table = table.assign(**dict(zip(elements, IDENTITY.ravel(), strict=True)))
    table = table.assign(**{f"crop_{name}_px": value for name, value in crop._asdict().items()})
    mixtures = mix_at_even_steps(places, range(count), count)
    placed = PlacedSlices(RegisteredSlices(places, mixtures))
    return Alignment(np.repeat(IDENTITY[None], count, 0), crop, table, placed=placed)


def ball_slices(places: NDArray[np.float64], radius: float) -> NDArray[np.uint8]:
    """Cut a ball of soft edge at places in steps of 2 px."""
    z, y, x = places[:, None, None] * 2.0, np.arange(64.0)[:, None], np.arange(60.0)
    middle = places[-1]
    away = np.sqrt((z - middle) ** 2 + (y - 31.0) ** 2 + (x - 29.0) ** 2)
    return np.rint(200 / (1 + np.exp((away - radius) / 0.7))).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_a_ball_cut_into_uneven_slices_is_round_again(seed: int) -> None:
    places = np.round(np.concatenate([[0.0], np.cumsum(uneven(34, seed, 0.25))]), 6)
    slices = ball_slices(places, 20.0)
    resampled = apply_alignment(slices, straight(slices, places))
    truth = ball_slices(np.arange(34.0), 20.0)

    def moments(image: NDArray[np.uint8]) -> NDArray[np.float64]:
        weight = image.astype(np.float64).sum((1, 2))
        z = 2.0 * np.arange(34)
        mean = (weight * z).sum() / weight.sum()
        return np.array([weight.sum(), mean, ((z - mean) ** 2 * weight).sum() / weight.sum()])

    error = np.abs(moments(resampled) / moments(truth) - 1)
    before = np.abs(moments(slices) / moments(truth) - 1)
    assert error.max() < 0.02
    assert error.sum() < 0.7 * before.sum()
    rms = [np.sqrt(np.mean((image.astype(float) - truth) ** 2)) for image in (resampled, slices)]
    assert rms[0] < 0.7 * rms[1]


def test_every_executor_and_a_resumed_warp_give_the_same_bits() -> None:
    stack = make_stack(count=14, shape=(96, 88))
    plain = register_stack(stack.slices)
    places = np.round(np.concatenate([[0.0], np.cumsum(uneven(14, 1))]), 6)
    alignment = replace(
        plain,
        placed=PlacedSlices(RegisteredSlices(places, mix_at_even_steps(places, range(14), 14))),
    )
    reference = apply_alignment(stack.slices, alignment)
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes:
        for executor in (threads, processes):
            execution = Execution(executor=executor, workers=2)
            found = apply_alignment(stack.slices, alignment, execution=execution)
            np.testing.assert_array_equal(found, reference)
    resumed = np.zeros(alignment.shape, np.uint8)
    sink = MemorySink(resumed)

    class KilledError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KilledError

    with pytest.raises(KilledError):
        warp_stack(stack.slices, alignment, sink, RegistrationParameters(), Execution(progress=stop))
    assert not resumed[-1].any()
    warp_stack(stack.slices, alignment, sink, RegistrationParameters(), Execution())
    np.testing.assert_array_equal(resumed, reference)


def test_a_region_takes_places_and_steps_of_the_full_acquisition() -> None:
    places = np.round(np.concatenate([[0.0], np.cumsum(uneven(34, 2))]), 6)
    slices = ball_slices(places, 20.0)
    full = straight(slices, places)
    whole = apply_alignment(slices, full)
    region = cut_alignment(full.table, (7, 0, 0), (20, 64, 60), step_nm=STEP_NM)
    part = apply_alignment(slices[7:27], region)
    first = round(float(places[7] - region.slices.places[0]))
    assert 7 <= first + 1 <= 10
    assert part.shape[0] >= 17
    np.testing.assert_array_equal(part, whole[first : first + part.shape[0]])
    even = cut_alignment(
        full.table.assign(registered_z_um=np.arange(34) * STEP_NM / 1000),
        (7, 0, 0),
        (20, 64, 60),
        step_nm=STEP_NM,
    )
    assert even.placed is not None
    assert "the full acquisition has even steps too" in even.placed.reason
    with pytest.raises(RegistrationError, match="choose a region of more slices"):
        cut_alignment(full.table, (7, 0, 0), (1, 64, 60), step_nm=STEP_NM)


def test_register_stack_says_why_a_short_stack_keeps_even_steps() -> None:
    stack = make_stack(count=4, shape=(96, 88))
    alignment = register_stack(stack.slices, RegistrationParameters(resample_z=True))
    assert alignment.placed is not None
    assert alignment.placed.reason == "their thickness is not known"
    assert alignment.details()["even_steps"]["reason"] == alignment.placed.reason
    assert apply_alignment(stack.slices, alignment).shape == alignment.shape
