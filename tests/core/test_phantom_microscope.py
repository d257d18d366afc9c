"""Microscope of the phantom: depth of the signal, kinds of noise, charging."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from spherovem_core.synthetic.phantom import Phantom, PhantomParameters, make_phantom
from spherovem_core.synthetic.phantom.balls import Balls
from spherovem_core.synthetic.phantom.depth import SignalDepth, signal_above, signal_depth
from spherovem_core.synthetic.phantom.detector import expose
from spherovem_core.synthetic.phantom.drawing import draw_balls

SMALL: dict[str, Any] = {"shape": (10, 80, 96), "spacing_nm": (90.0, 30.0, 40.0), "cell_diameter_um": 2.5, "seed": 4,
                         "nanoparticle_diameter_nm": 200.0, "jitter_shift_px": 0.0, "drift_shift_px": 0.0,
                         "jitter_rotation_deg": 0.0, "jitter_scale": 0.0, "gain_drift": 0.0, "offset_drift": 0.0,
                         "shading": 0.0}  # fmt: skip


def made(*scenes: str, **changes: Any) -> Phantom:
    return make_phantom(scenes=scenes, **{**SMALL, **changes})


@pytest.mark.parametrize("escape", [np.inf, 0.05])
@pytest.mark.parametrize("radius", [0.02, 0.11, 0.4])
def test_the_mass_of_a_ball_is_conserved_over_the_slices(radius: float, escape: float) -> None:
    dz, dy, dx = 0.12, 0.03, 0.04
    rows, columns = np.arange(60) * dy, np.arange(50) * dx
    zero = np.zeros(1, int)
    ball = Balls(np.array([[0.731, 0.902, 0.997]]), np.array([radius]), np.ones(1), zero, zero, zero, zero)
    depth = SignalDepth(-dz / 2, dz / 2, escape)
    mass = 0.0
    for z in np.arange(-2, 16) * dz:
        image = np.zeros((60, 50), np.float32)
        draw_balls(image, (np.array([z]), rows, columns), ball, depth, np.zeros_like(image))
        mass += float(image.sum()) * dz * dy * dx
    if np.isinf(escape):
        # Sixteen chords a pixel: within 3 % for a ball of one pixel, 0.5 % for larger ones.
        assert mass == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03 if radius < dx else 0.005)
    else:
        # A ball larger than a slice gives each slice's worth of signal; a small one is seen by its depth.
        assert 0 < mass < 3 * 4 / 3 * np.pi * radius**3


def test_the_signal_of_a_depth_adds_up_to_1() -> None:
    for depth in (
        SignalDepth(-0.06, 0.06, np.inf),
        SignalDepth(-0.06, 0.06, 0.03),
        SignalDepth(0.0, 0.3, 0.06),
    ):
        offsets, weights = depth.samples(5)
        assert weights.sum() == pytest.approx(1)
        assert np.all(np.diff(offsets) > 0)
        middle = signal_above(
            (depth.top_um + depth.bottom_um) / 2, depth.top_um, depth.bottom_um, depth.escape_um
        )
        assert middle == pytest.approx(0.5) if np.isinf(depth.escape_um) else middle > 0.5
    # Of an exponential, 1 - 1/e of the signal comes from within one escape depth.
    block = signal_depth(PhantomParameters(escape_depth_nm=50.0), 0.12)
    assert block is not None
    assert signal_above(0.05, block.top_um, block.bottom_um, block.escape_um) == pytest.approx(
        1 - np.exp(-1), abs=0.01
    )


def test_a_thick_slice_is_the_mean_of_thin_ones() -> None:
    # Both begin at the upper face of the first slice, so the nine planes of a thick slice are nine thin slices.
    thick = made("thickness", "no-particles", shape=(4, 80, 96), depth_samples=9)
    fine = made("no-particles", shape=(36, 80, 96), spacing_nm=(10.0, 30.0, 40.0))
    mean = fine.clean.reshape(4, 9, 80, 96).mean(axis=1)
    # Thin slices are rounded before they are averaged, thick ones after.
    assert np.abs(thick.clean - mean).max() < 1


def test_thickness_leaves_the_truth_and_dims_small_particles() -> None:
    small = {
        "nanoparticle_diameter_nm": 50.0,
        "nanoparticle_volume_fraction": 0.001,
        "nanoparticle_cluster_size": 1.0,
    }
    thin, thick = made(**small), made("thickness", **small)
    for name in ("cells", "nuclei", "nanoparticles", "specimen"):
        assert np.array_equal(getattr(thin, name), getattr(thick, name))
    seen = thin.nanoparticles > 0
    assert thick.clean[seen].mean() < thin.clean[seen].mean() - 20


def test_poisson_noise_has_the_variance_of_counts() -> None:
    parameters = PhantomParameters(poisson_counts=100.0, read_noise=0.0)
    for grey in (30.0, 128.0, 220.0):
        noisy = expose(np.full((300, 300), grey, np.float32), parameters, np.random.default_rng(0))
        assert noisy.mean() == pytest.approx(grey, rel=0.005)
        assert noisy.var() == pytest.approx(grey * 128 / 100, rel=0.02)


def test_correlated_noise_keeps_its_deviation() -> None:
    parameters = PhantomParameters(noise_correlation_px=(0.0, 0.8), read_noise=12.0, shot_noise=0.0)
    noise = expose(np.full((300, 310), 128, np.float32), parameters, np.random.default_rng(0)) - 128
    assert noise.std() == pytest.approx(12, rel=0.02)
    # Of a Gaussian of s pixels, the correlation of neighbours is exp(-1 / (4 s²)).
    assert np.mean(noise[:, 1:] * noise[:, :-1]) / 144 == pytest.approx(np.exp(-1 / (4 * 0.64)), abs=0.02)
    assert np.mean(noise[1:] * noise[:-1]) / 144 == pytest.approx(0, abs=0.02)


def test_clipped_contrast_cuts_both_ends() -> None:
    phantom = made("clipped", nanoparticle_volume_fraction=0.005)
    assert (phantom.image == 255).mean() > 0.001
    assert (phantom.image == 0).mean() > 0.0005
    assert phantom.gains[0] == pytest.approx(2.0)
    silent = made("clipped", read_noise=0.0, shot_noise=0.0)
    tissue = (silent.clean > 80) & (silent.clean < 170)
    slope, level = np.polyfit(silent.clean[tissue], silent.image[tissue], 1)
    assert slope == pytest.approx(silent.gains[0], abs=0.02)
    assert level == pytest.approx(silent.offsets[0], abs=2)


@pytest.mark.parametrize("scene", ["streaks", "halos"])
def test_charging_adds_light_where_the_specimen_is_unusable(scene: str) -> None:
    rate = (
        {"streaks_per_slice": 4.0}
        if scene == "streaks"
        else {"halos_per_slice": 3.0, "halo_diameter_um": 0.8}
    )
    silent = {"read_noise": 0.0, "shot_noise": 0.0}
    plain, charged = made(**silent), made(scene, **silent, **rate)
    added = charged.image.astype(int) - plain.image
    hidden = charged.specimen == 0
    assert 0.001 < hidden.mean() < 0.3
    # Two roundings lie between the charge and the difference of the images.
    assert added[hidden].min() >= 24
    assert added[~hidden].max() <= 26
    assert added.min() == 0
    assert np.array_equal(charged.clean, plain.clean)


def test_streaks_run_along_x() -> None:
    plain, charged = (
        made(read_noise=0.0, shot_noise=0.0),
        made("streaks", streaks_per_slice=4.0, read_noise=0.0, shot_noise=0.0),
    )
    labels, count = ndimage.label(
        charged.image.astype(int) - plain.image > 25,
        np.array([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))]),
    )
    assert count > 10
    sides = np.array([[s.stop - s.start for s in box[1:]] for box in ndimage.find_objects(labels)])
    assert np.median(sides[:, 1] / sides[:, 0]) > 4
