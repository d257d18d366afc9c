"""Registration of real slices with added known motion; skipped if the data are absent."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import register_pair, register_stack
from spherovem_core.registration.affine import (
    compose,
    invert,
    rms_displacement,
    rotation_matrix,
    shift_matrix,
    slice_centre,
)
from spherovem_core.synthetic.misplacement import measure_misplacement

MARGIN = 20


@pytest.fixture(scope="module")
def whole_fibsem(shared_data: Path) -> NDArray[np.uint8]:
    paths = sorted((shared_data / "fibsem_drosophila" / "slices").glob("*.tif"))
    return np.stack([tifffile.imread(path) for path in paths])


@pytest.fixture(scope="module")
def fibsem(whole_fibsem: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return whole_fibsem[:30]


def jittered(
    volume: NDArray[np.uint8], seed: int, wild: Sequence[int] = ()
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Move each slice by a random affine map of about 3 px, and the wild ones by a quarter of a side more."""
    rng = np.random.default_rng(seed)
    shape = volume.shape[1] - 2 * MARGIN, volume.shape[2] - 2 * MARGIN
    y, x = np.mgrid[: shape[0], : shape[1]]
    centre = slice_centre(shape)
    slices, truth = [], []
    for z, image in enumerate(volume):
        linear = np.eye(2) + rng.normal(0.0, 0.003, (2, 2))
        about = np.concatenate([linear, (centre - linear @ centre)[:, None]], axis=1)
        far = np.array([40.0, -50.0]) if z in wild else np.zeros(2)
        shift = shift_matrix(*(rng.normal(0.0, 3.0, 2) + far))
        truth.append(compose(rotation_matrix(float(rng.normal(0.0, 0.3)), shape), compose(shift, about)))
        where = [row[0] * y + row[1] * x + row[2] + MARGIN for row in invert(truth[-1])]
        moved = ndimage.map_coordinates(image.astype(np.float64), where, order=5, mode="constant")
        slices.append(np.clip(np.rint(moved), 0, 255).astype(np.uint8))
    return np.stack(slices), np.stack(truth)


def test_motion_added_to_copies_of_a_real_slice_is_recovered_to_0_05_px(fibsem: NDArray[np.uint8]) -> None:
    slices, truth = jittered(np.repeat(fibsem[:1], 8, axis=0), seed=1)
    errors = [
        float(
            rms_displacement(
                register_pair(slices[z], slices[z + 1]).matrix - compose(truth[z + 1], invert(truth[z])),
                slices.shape[1:],
            )
        )
        for z in range(7)
    ]
    assert np.median(errors) < 0.05


def test_jitter_added_to_a_real_stack_is_removed(fibsem: NDArray[np.uint8]) -> None:
    slices, truth = jittered(fibsem, seed=2)
    alignment = register_stack(slices, RegistrationParameters(), Execution())
    found = measure_misplacement(alignment.transforms, truth, slices.shape[1:])
    assert alignment.table["trusted"].all()
    # The published stack itself moves by 0.5 px from slice to slice, which counts as error here.
    assert found.jitter_px < 0.22
    assert found.step_px < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("faults", [False, True], ids=["jitter", "faults"])
def test_the_whole_real_stack_meets_limits_of_jitter_drift_and_pair_error(
    whole_fibsem: NDArray[np.uint8], faults: bool
) -> None:
    """Median pair error 0.15 px beyond the motion of the stack itself, jitter 0.2 px, drift 1 px; also with 8 damaged slices."""
    wild, blank = ([60, 125, 201], [17, 90, 91, 150, 222]) if faults else ([], [])
    slices, truth = jittered(whole_fibsem, 1, wild)
    slices[blank] = 0
    good = [z for z in range(len(slices)) if z not in blank]
    shape = slices.shape[1:]
    ledger: dict[str, Any] = {}
    plain = RegistrationParameters(drift="chain", deformation_trend_slices=0)
    daily, chain = (
        measure_misplacement(
            register_stack(slices, p, Execution(), blank, ledger).transforms[good], truth[good], shape, 50
        )
        for p in (RegistrationParameters(), plain)
    )
    assert daily.jitter_px < 0.2
    assert daily.drift_px < 1.0 < chain.drift_px

    core = whole_fibsem[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    errors = []
    for z in (z for z in good[:-1:5] if z + 1 in good):
        own = register_pair(core[z], core[z + 1]).matrix
        whole = compose(truth[z + 1], compose(own, invert(truth[z])))
        errors.append(float(rms_displacement(np.array(ledger[f"{z} {z + 1}"]["matrix"]) - whole, shape)))
    assert np.median(errors) < 0.15


def test_serial_sections_with_changing_contrast_are_registered(shared_data: Path) -> None:
    paths = sorted((shared_data / "sstem_vnc").rglob("*.tif"))[:4]
    sections = [tifffile.imread(path) for path in paths]
    for fixed, moving in itertools.pairwise(sections):
        there, back = register_pair(fixed, moving), register_pair(moving, fixed)
        assert there.trusted
        # Sections are 50 nm apart; the two directions differ by less than the uncertainty.
        loop = float(rms_displacement(compose(back.matrix, there.matrix) - np.eye(2, 3), fixed.shape))
        assert loop < max(there.uncertainty_px, 0.5)
