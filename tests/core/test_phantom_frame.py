"""Effects of the frame, the optics and the stage of the phantom's microscope."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from spherovem_core.synthetic.phantom import Phantom, make_phantom

SMALL: dict[str, Any] = {"shape": (16, 96, 80), "spacing_nm": (90.0, 30.0, 40.0), "cell_diameter_um": 2.5, "seed": 9,
                         "read_noise": 0.0, "shot_noise": 0.0, "gain_drift": 0.0, "offset_drift": 0.0,
                         "shading": 0.0}  # fmt: skip
STILL = {"jitter_shift_px": 0.0, "drift_shift_px": 0.0, "jitter_rotation_deg": 0.0, "jitter_scale": 0.0}


def made(*scenes: str, **changes: Any) -> Phantom:
    return make_phantom(scenes=scenes, **{**SMALL, **changes})


def test_the_databar_stays_in_the_frame_while_the_specimen_moves() -> None:
    phantom = made("databar", databar_px=12, drift_shift_px=6.0)
    bar = phantom.image[:, -12:]
    assert np.all(bar == bar[0])
    assert set(np.unique(bar)) == {12, 240}
    assert phantom.image[:, -13].std() > 3
    for z, transform in enumerate(phantom.transforms):
        y, x = np.meshgrid(np.arange(96), np.arange(80), indexing="ij")
        rows = np.rint(transform[0, 0] * y + transform[0, 1] * x + transform[0, 2])
        columns = np.rint(transform[1, 0] * y + transform[1, 1] * x + transform[1, 2])
        hidden = (rows >= 84) & (rows < 96) & (columns >= 0) & (columns < 80)
        assert np.array_equal(phantom.specimen[z] == 0, hidden)


def test_curtains_run_along_y_and_stay_in_the_frame() -> None:
    plain, phantom = (made(*names, **STILL) for names in ((), ("curtains",)))
    ratio = phantom.image.astype(float) / plain.image
    columns = ratio.mean(axis=1)
    assert columns.std() == pytest.approx(0.06, rel=0.4)
    # Rounding of grey values near 60 to 150 leaves half a per cent.
    assert (ratio - columns[:, None]).std() < 0.006
    assert np.corrcoef(columns)[0, 1:].mean() > 0.5
    assert np.array_equal(phantom.clean, plain.clean)


def test_focus_drifts_from_sharp_to_blurred() -> None:
    plain, phantom = (made(*names, shape=(40, 96, 80), **STILL) for names in ((), ("focus-drift",)))
    sharpness = [
        np.abs(np.diff(one.astype(float))).mean() / np.abs(np.diff(other.astype(float))).mean()
        for one, other in zip(phantom.image, plain.image, strict=True)
    ]
    assert max(sharpness) > 0.9
    assert min(sharpness) < 0.5
    assert np.abs(np.diff(sharpness)).max() < 0.3
    assert np.array_equal(phantom.clean, plain.clean)


def test_contrast_drift_and_shading_have_their_size() -> None:
    drifting = made("contrast-drift", shape=(60, 32, 32), gain_drift=0.12, offset_drift=10.0, **STILL)
    # Half of the variance is slow, so that 60 slices hold about 30 independent values.
    assert drifting.gains.std() == pytest.approx(0.12, rel=0.5)
    assert drifting.offsets.std() == pytest.approx(10, rel=0.5)


@pytest.mark.parametrize("scene", ["stage-jumps", "magnification-steps", "lasting-turn", "wild-slice"])
def test_transforms_lead_to_what_the_slices_show(scene: str) -> None:
    phantom = made(scene, stage_jump_px=14.0, wild_shift_px=20.0, shape=(12, 120, 112))
    inner = slice(40, -40), slice(40, -40)
    for z, transform in enumerate(phantom.transforms):
        back = ndimage.affine_transform(
            phantom.image[z].astype(float), transform[:, :2], transform[:, 2], order=3
        )
        assert np.corrcoef(back[inner].ravel(), phantom.clean[z][inner].ravel())[0, 1] > 0.98


def _middles(phantom: Phantom) -> np.ndarray:
    centre = (np.array(phantom.image.shape[1:]) - 1) / 2
    return phantom.transforms @ [*centre, 1] - centre


def test_a_jump_stays_and_a_wild_slice_does_not() -> None:
    jumped = _middles(made("stage-jumps", stage_jumps=1, stage_jump_px=14.0, **STILL))
    steps = np.linalg.norm(np.diff(jumped, axis=0), axis=1)
    assert np.sort(steps)[-2:].tolist() == pytest.approx([0, 14], abs=1e-9)
    wild = np.linalg.norm(_middles(made("wild-slice", wild_shift_px=20.0, **STILL)), axis=1)
    assert np.sort(wild)[-2:].tolist() == pytest.approx([0, 20], abs=1e-9)


@pytest.mark.parametrize("scene", ["magnification-steps", "lasting-turn"])
def test_magnification_and_turn_last_until_the_end(scene: str) -> None:
    linear = made(scene, **STILL).transforms[:, :, :2]
    scales = np.sqrt(np.linalg.det(linear))
    angles = np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    series = np.abs(scales - 1) if scene == "magnification-steps" else np.abs(angles)
    size = 0.03 if scene == "magnification-steps" else 4.0
    first = int(np.flatnonzero(series > size / 2)[0])
    assert series[:first] == pytest.approx(0, abs=1e-9)
    assert series[first:] == pytest.approx(size, rel=1e-6)


def test_uneven_slices_lie_where_the_truth_says() -> None:
    # A slice of the uneven stack equals the slice of an even, finer stack nearest to its position.
    uneven = made("uneven-slices", shape=(10, 64, 64), spacing_nm=(100.0, 30.0, 40.0), **STILL)
    fine = made(shape=(100, 64, 64), spacing_nm=(10.0, 30.0, 40.0), **STILL)
    gaps = np.diff(uneven.slice_positions_nm)
    assert gaps.std() / gaps.mean() > 0.1
    assert gaps.min() > 0
    # The first slice of the fine stack lies 45 nm above that of the coarse one: both volumes begin at the same face.
    nearest = np.rint((uneven.slice_positions_nm + 45) / 10).astype(int)
    for z, k in enumerate(nearest):
        # Up to 5 nm apart, and 60 nm thick membranes in between.
        assert np.corrcoef(uneven.clean[z].ravel(), fine.clean[k].ravel())[0, 1] > 0.97
        assert np.mean((uneven.cells[z] > 0) == (fine.cells[k] > 0)) > 0.99
