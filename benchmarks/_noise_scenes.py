"""Noise of several kinds on the clean image of a phantom with small particles, and the contrast that the particles keep."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.synthetic.phantom import make_phantom

SHAPE = (24, 256, 256)
DIAMETERS_PX = (3, 4, 6)
"""Particles of 120, 160 and 240 nm at 40 nm per pixel."""
GREY = 215.0
PER_SLICE = 5
NOISE_SEED = 5


class NoisyScene(NamedTuple):
    """A clean image with particles, the same without, the particles as rows of z, y, x and diameter, and the noisy image."""

    clean: NDArray[np.float32]
    without: NDArray[np.float32]
    particles: NDArray[np.float64]
    noisy: NDArray[np.generic]


def _independent(clean: NDArray[np.float32], deviation: float) -> NDArray[np.float64]:
    return clean + deviation * _white(clean.shape)


def _correlated(clean: NDArray[np.float32], widths: tuple[float, float]) -> NDArray[np.float64]:
    noise = ndimage.gaussian_filter(_white(clean.shape), (0, *widths), mode="wrap")
    return clean + 12 * noise / noise.std()


def _poisson(clean: NDArray[np.float32], gain: float) -> NDArray[np.float64]:
    return gain * np.random.default_rng(NOISE_SEED).poisson(np.maximum(clean, 0) / gain)


def _white(shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.random.default_rng(NOISE_SEED).standard_normal(shape)


KINDS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float64]]] = {
    "independent-6": lambda clean: _independent(clean, 6),
    "independent-15": lambda clean: _independent(clean, 15),
    "independent-25": lambda clean: _independent(clean, 25),
    "poisson-0.3": lambda clean: _poisson(clean, 0.3),
    "poisson-1": lambda clean: _poisson(clean, 1.0),
    "along-x": lambda clean: _correlated(clean, (0.0, 1.0)),
    "along-y": lambda clean: _correlated(clean, (1.0, 0.0)),
    "along-both": lambda clean: _correlated(clean, (0.7, 0.7)),
}


def noisy_scene(kind: str) -> NoisyScene:
    """Make the scene with noise of a kind, in 8 bits."""
    phantom = make_phantom(shape=SHAPE, seed=77, read_noise=0, shot_noise=0)
    without = phantom.image.astype(np.float32)
    clean, rng, placed = without.copy(), np.random.default_rng(1), []
    rows, columns = np.indices(SHAPE[1:])
    for z in range(SHAPE[0]):
        for diameter in DIAMETERS_PX:
            for _ in range(PER_SLICE):
                y, x = rng.uniform(12, SHAPE[1] - 12, 2)
                cover = np.clip(diameter / 2 + 0.5 - np.hypot(rows - y, columns - x), 0, 1)
                clean[z] += (GREY - clean[z]) * cover
                placed.append((z, y, x, diameter))
    noisy = np.clip(np.rint(KINDS[kind](clean)), 0, 255).astype(np.uint8)
    return NoisyScene(clean, without, np.array(placed), noisy)


def kept_contrast(image: NDArray[np.float32], scene: NoisyScene) -> dict[int, tuple[float, float]]:
    """Measure the median fraction of the contrast that particles of each diameter keep: over their area, and at their peak."""
    found: dict[int, list[tuple[float, float]]] = {diameter: [] for diameter in DIAMETERS_PX}
    for number, y, x, diameter in scene.particles:
        z, row, column = int(number), round(y), round(x)
        window = (z, slice(row - 6, row + 7), slice(column - 6, column + 7))
        true, kept = scene.clean[window] - scene.without[window], image[window] - scene.without[window]
        # Particles on others, or on tissue as bright as they are, have no contrast of their own.
        if true.max() > 40:
            area, peak = true > 0.5 * true.max(), true > 0.95 * true.max()
            found[int(diameter)].append(
                (kept[area].sum() / true[area].sum(), kept[peak].mean() / true[peak].mean())
            )
    return {diameter: tuple(np.median(each, axis=0).tolist()) for diameter, each in found.items()}
