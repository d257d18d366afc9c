"""Repairs of shading, stripes and contrast: what was planted goes, what was not there stays."""

import pickle
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import numpy as np
import pytest
from denoising_scenes import psnr
from ingest_samples import write_slices
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from step_runs import run_steps

from spherovem_core.denoising.chapter import denoising_section
from spherovem_core.parameters import DenoisingParameters, PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.repairs import RepairedStack, Repairs, estimate_repairs, find_stripes, remove_stripes
from spherovem_core.repairs.stripe_heights import median_along
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.steps.denoising import DENOISING, REPAIRS_VERSION
from spherovem_core.store import Layout, open_array, read_table
from spherovem_core.synthetic.phantom import SCENES, make_phantom
from spherovem_core.utils.accelerator import select_accelerator
from spherovem_core.workflow.step import RunRequest

PLAIN: dict[str, Any] = {"seed": 3, "shading": 0.0, "gain_drift": 0.0, "offset_drift": 0.0}
NETWORKS = {kind: {"network": "phantom-compact"} for kind in ("cells", "nuclei")}
NOISELESS = {"read_noise": 0.0, "shot_noise": 0.0, "poisson_counts": 0.0}


def stack(scene: str, shape: tuple[int, int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Make noisy slices and the same without noise, as 8 bits."""
    scenes = () if scene == "plain" else (scene,)
    noisy = make_phantom(scenes=scenes, shape=shape, **PLAIN).image
    truth = make_phantom(scenes=scenes, shape=shape, **PLAIN, **NOISELESS).image
    scale = 255 / np.iinfo(noisy.dtype).max
    return noisy * scale, truth * scale


@cache
def tissue(depth: int, side: int, thickness: float = 4.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Make noisy slices of blobs, and the same without noise."""
    generator = np.random.default_rng(0)
    values = gaussian_filter(
        generator.standard_normal((depth + 8, side, side)), (thickness, 5, 5), mode="wrap"
    )[4:-4]
    truth = values / values.std() * 25 + 120
    return truth + generator.normal(0, 6, truth.shape), truth


def stored(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def repaired(volume: NDArray[np.uint8], **parameters: Any) -> tuple[NDArray[np.uint8], Repairs]:
    found = estimate_repairs(volume, DenoisingParameters(**parameters))
    return RepairedStack(volume, found)[:], found


def curtains(columns: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(0)
    return sum(
        gaussian_filter1d(generator.standard_normal(columns), width) * np.sqrt(2 * np.sqrt(np.pi) * width / 2)
        for width in (1.0, 4.0)
    )


@pytest.mark.parametrize("direction", ["vertical", "horizontal"])
@pytest.mark.parametrize("kind", ["added", "multiplied", "fading"])
def test_stripes_are_removed_in_the_direction_in_which_they_run(kind: str, direction: str) -> None:
    noisy, truth = tissue(2, 384)
    profile = curtains(384)
    fade = np.linspace(0, 1.5, 384)[:, None]
    field = {
        "added": 8 * profile + 0 * fade,
        "multiplied": 0.06 * profile * truth,
        "fading": 8 * profile * fade,
    }[kind]
    if direction == "horizontal":
        field = np.swapaxes(field, -1, -2)
    planted = stored(noisy + field)
    result, found = repaired(planted, repair_stripes="auto")
    assert found.stripes == direction
    assert psnr(result, truth) > psnr(planted, truth) + 1.0


def test_nothing_changes_where_nothing_is_wrong() -> None:
    volume = stored(tissue(16, 192)[0])
    # The surface of the specimen.
    volume[:, :, 150:] = stored(np.random.default_rng(0).normal(200, 6, (16, 192, 42)))
    for parameters in (
        {"repair_stripes": "vertical"},
        {"repair_stripes": "horizontal"},
        {"repair_shading": True},
    ):
        result, _ = repaired(volume, **parameters)
        np.testing.assert_array_equal(result, volume, err_msg=str(parameters))


def test_a_bright_particle_leaves_no_tail() -> None:
    image = np.random.default_rng(0).normal(120, 6, (512, 512)).astype(np.float32) + 8 * curtains(512).astype(
        np.float32
    )
    with_particle = image.copy()
    with_particle[200:230, 250:280] = 250
    cpu = select_accelerator("cpu")
    plain, other = (remove_stripes(each, find_stripes(each, cpu), cpu) for each in (image, with_particle))
    beside = np.r_[0:190, 240:512]
    assert np.abs(plain - other)[beside].max() < 1.5


def test_the_power_of_stripes_falls_to_that_beside() -> None:
    generator = np.random.default_rng(0)
    image = (120 + generator.normal(0, 6, (1024, 1024)) + 8 * curtains(1024)).astype(np.float32)
    cpu = select_accelerator("cpu")
    after = remove_stripes(image, find_stripes(image, cpu), cpu)

    def ratio(values: NDArray[Any]) -> float:
        power = np.square(np.abs(np.fft.rfft2(values - values.mean())))[:, 40:200]
        return float(power[0].mean() / power[8:40].mean())

    assert ratio(image) > 100
    assert 0.1 < ratio(after) < 5


def test_wider_stripes_that_fade_in_a_small_slice_go_beside_certain_ones() -> None:
    cpu = select_accelerator("cpu")
    fade = np.clip(np.linspace(0, 2, 250), 0, 1)[:, None]
    window = np.outer(np.hanning(250), np.hanning(250))
    ratios = []
    for noisy, truth, shift in zip(*tissue(8, 250), range(8), strict=True):
        planted = (noisy + 8 * fade * np.roll(curtains(250), 17 * shift)).astype(np.float32)
        after = remove_stripes(planted, find_stripes(planted, cpu), cpu)
        assert psnr(after, truth) > psnr(planted, truth) + 0.8
        power = [np.square(np.abs(np.fft.rfft2((v - v.mean()) * window)))[:, 4:80] for v in (after, noisy)]
        ratios.append([each[:2].mean() / each[13:40].mean() for each in power])
    left, without = np.mean(ratios, axis=0)
    assert left < 1.25 * without


@pytest.mark.parametrize("fading", [False, True])
def test_heights_fit_their_fading_and_not_an_object_in_the_way(fading: bool) -> None:
    heights = np.random.default_rng(0).normal(0, 5, 50).astype(np.float32)
    along = np.linspace(0, 1, 16, dtype=np.float32) if fading else np.ones(16, np.float32)
    values = along[:, None] * heights
    values[9:14, 20:30] += 100
    np.testing.assert_allclose(median_along(values, along, np), heights, rtol=1e-5)


def test_stripes_that_fade_leave_the_rows_above_them_as_they_were() -> None:
    generator = np.random.default_rng(3)
    fade = np.clip(np.linspace(-0.6, 1, 240), 0, 1)[:, None]
    image = (120 + generator.normal(0, 6, (240, 400))).astype(np.float32)
    profile = gaussian_filter1d(generator.standard_normal(400), 1.0)
    planted = (image + 8 * fade * profile / profile.std()).astype(np.float32)
    cpu = select_accelerator("cpu")
    left = remove_stripes(planted, find_stripes(planted, cpu), cpu) - image
    assert np.std(left[:80].mean(0)) < 0.5
    assert np.std(left[160:].mean(0)) < 0.5 * np.std((planted - image)[160:].mean(0))


@pytest.mark.parametrize(("along_y", "along_x"), [(0.2, 0.0), (0.1, 0.15)])
def test_shading_is_divided_out(along_y: float, along_x: float) -> None:
    noisy, truth = tissue(48, 160, 1.0)
    y, x = np.meshgrid(*[np.linspace(-1, 1, 160)] * 2, indexing="ij")
    field = (1 + along_y * y) * (1 + along_x * x)
    planted = stored(noisy * field)
    result, found = repaired(planted, repair_shading=True)
    assert found.shading
    assert psnr(result, truth * field.mean()) > psnr(planted, truth * field.mean()) + 2.0


def test_contrast_that_flickers_is_matched_and_slow_changes_stay() -> None:
    noisy, truth = tissue(40, 96)
    slow = np.linspace(0.9, 1.1, 40)[:, None, None]
    flicker = np.ones((40, 1, 1))
    flicker[[7, 20, 31], 0, 0] = 0.85, 1.2, 0.8
    planted, wanted = stored(noisy * slow * flicker), truth * slow
    result, found = repaired(planted, repair_contrast=True)
    assert {7, 20, 31} <= set(found.contrast)
    assert all(psnr(result[z], wanted[z]) > psnr(planted[z], wanted[z]) + 2 for z in (7, 20, 31))
    others = [z for z in range(40) if z not in found.contrast]
    assert len(others) >= 35
    np.testing.assert_array_equal(result[others], planted[others])


def test_content_that_begins_is_no_change_of_contrast() -> None:
    """Resin fills half of the frame from one slice on."""
    noisy = tissue(30, 96)[0].copy()
    noisy[15:, :, 48:] = np.random.default_rng(0).normal(200, 6, (15, 96, 48))
    volume = stored(noisy)
    result, _ = repaired(volume, repair_contrast=True)
    assert np.abs(result.mean((1, 2)) - volume.mean((1, 2))).max() < 1.5


def test_clipped_pixels_stay_clipped_and_filled_slices_follow_their_neighbours() -> None:
    volume = np.full((9, 64, 64), 100, np.uint8)
    volume[:, 0, 0], volume[:, 0, 1] = 0, 255
    repairs = Repairs(contrast={3: (1.0, 10.0), 5: (1.0, 30.0)})
    result = RepairedStack(volume, repairs, bad_slices=(0, 4))
    assert result[3][5, 5] == 110
    assert result[4][5, 5] == 120
    assert result[0][5, 5] == 100
    assert (result[5][0, 0], result[5][0, 1]) == (0, 255)
    np.testing.assert_array_equal(result[2:6, 5, 5], [100, 110, 120, 130])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(result))[:], result[:])


def test_neighbours_of_filled_slices_are_repaired_once() -> None:
    class Counted:
        """A stack that notes which of its slices are read."""

        shape, dtype = (8, 16, 16), np.dtype(np.uint8)
        read: ClassVar[list[int]] = []

        def __getitem__(self, z: Any, /) -> NDArray[np.uint8]:
            self.read.append(z)
            return np.full((16, 16), 10 * z, np.uint8)

    source = Counted()
    stack = RepairedStack(source, Repairs(contrast={1: (1.0, 10.0)}), bad_slices=(2, 3, 4))
    assert [int(stack[z][0, 0]) for z in range(8)] == [0, 20, 28, 35, 42, 50, 60, 70]
    assert source.read == [0, 1, 5, 6, 7]


def test_what_was_found_is_kept_for_a_resumed_run() -> None:
    noisy, _ = tissue(8, 128)
    parameters = DenoisingParameters(repair_stripes="vertical", repair_contrast=True, repair_shading=True)
    ledger: dict[str, Any] = {}
    first = estimate_repairs(stored(noisy), parameters, (), ledger)
    assert estimate_repairs(np.zeros((8, 128, 128), np.uint8), parameters, (), ledger) == first
    assert all((first.shading_note, first.stripes_note, first.contrast_note))


@pytest.mark.slow
@pytest.mark.parametrize("scene", sorted(SCENES))
def test_no_scene_loses(scene: str) -> None:
    """Worst case over all scenes, with and without what is repaired; the truth of curtains keeps them."""
    noisy, truth = stack(scene, (20, 192, 192))
    profile = curtains(192)
    cases: list[tuple[NDArray[Any], dict[str, Any]]] = [
        (noisy, {"repair_contrast": True}),
        (noisy, {"repair_shading": True}),
        (
            noisy * (1 + 0.1 * np.linspace(-1, 1, 192)) * (1 - 0.1 * np.linspace(-1, 1, 192)[:, None]),
            {"repair_shading": True},
        ),
        (noisy * (1 + 0.1 * (np.random.default_rng(1).random((20, 1, 1)) < 0.2)), {"repair_contrast": True}),
    ]
    if scene != "curtains":
        np.testing.assert_array_equal(repaired(stored(noisy), repair_stripes="vertical")[0], stored(noisy))
        stripes = {"repair_stripes": "vertical"}
        cases += [(noisy + 6 * profile, stripes), (noisy * (1 + 0.03 * profile), stripes)]
    for change, parameters in cases:
        planted = stored(change)
        result, _ = repaired(planted, **parameters)
        assert psnr(result, truth) >= psnr(planted, truth) - 0.005, parameters


@pytest.mark.slow
def test_curtains_of_the_phantom_are_removed() -> None:
    noisy = stack("curtains", (8, 192, 192))[0]
    _, truth = stack("plain", (8, 192, 192))
    result, found = repaired(stored(noisy), repair_stripes="vertical")
    assert found.stripes == "vertical"
    assert psnr(result, truth) > psnr(stored(noisy), truth) + 0.5


def test_the_step_repairs_on_the_way_in_and_raw_stays(tmp_path: Path) -> None:
    """Repairs are recorded with the denoised image, shown in its chapter, and excluded slices follow their neighbours."""
    planted = stored(tissue(10, 192)[0] + 8 * curtains(192))
    source = write_slices(tmp_path / "run", planted)
    acquisition = Acquisition(name="run", source=source, results_root=tmp_path / "results")
    own = {"algorithm": "none", "repair_stripes": "auto", "repair_contrast": True, "repair_shading": True}
    parameters = PipelineParameters.model_validate(
        {
            "ingest": {"spacing_nm": (20, 10, 10), "exclude_slices": ["4: fold"]},
            "denoising": own,
            "segmentation": NETWORKS,
        }
    )
    assert run_steps(acquisition, parameters, until="denoising") == ["ingest", "denoising"]
    layout = Layout(acquisition.folder)
    raw, denoised = open_array(layout, "raw"), open_array(layout, "denoised")
    kept = [z for z in range(10) if z != 4]
    np.testing.assert_array_equal(raw[:][kept], planted[kept])
    recorded = denoised.details["denoising"]["repairs"]
    assert recorded["stripes"] == "vertical"
    expected = RepairedStack(raw[:], Repairs.model_validate(recorded), bad_slices=(4,))[:]
    np.testing.assert_array_equal(denoised[:], expected)
    assert (expected != raw[:]).any()
    assert run_steps(acquisition, parameters, until="denoising") == []
    slices = read_table(layout, "tables/stages/slices.parquet")
    inputs = ReportInputs("run", layout, parameters, {"slices": slices}, {}, 300)
    section = denoising_section(inputs)
    assert "Repair of the stripes" in dict(section.facts)
    assert section.pictures


def test_a_new_version_of_repairs_concerns_results_with_repairs_alone() -> None:
    def external(**parameters: Any) -> Mapping[str, str]:
        request = SimpleNamespace(parameters=PipelineParameters(denoising=DenoisingParameters(**parameters)))
        return DENOISING.external(cast(RunRequest, request))

    assert external() == {}
    for on in ({"repair_stripes": "auto"}, {"repair_contrast": True}, {"repair_shading": True}):
        assert external(**on) == {"repairs": REPAIRS_VERSION}
