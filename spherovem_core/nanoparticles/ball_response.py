"""Response of the measures to balls of known size: what blur and the thickness of a slice make of a particle."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import map_blocks
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.bodies import body_surroundings, find_bodies
from spherovem_core.nanoparticles.crop_filters import gaussian
from spherovem_core.nanoparticles.piece_measures import measure_pieces
from spherovem_core.spacing import SpacingNm, pixel_nm

# Places of the centre within a voxel at which each ball is rendered: a low-discrepancy sequence (Roberts 2018).
_PLACES = 6
_GENERALISED_GOLDEN = np.array([0.8191725134, 0.6710436067, 0.5497004779])
_FINE = 3
_RATIO = 1.3
_CONTRAST = 100.0
# Filters reach this many standard deviations.
_TRUNCATE = 4.0


@dataclass(frozen=True, eq=False)
class BallResponse:
    """Mean measures of balls, by their diameter.

    Attributes
    ----------
    diameters_nm : (N,) ndarray
    contrast : (N,) ndarray
        Measured contrast relative to the true one.
    peak : (N, places) ndarray
        Largest smoothed intensity relative to the true contrast, at each place.
    outlined : (N,) ndarray
        Volume within the half-way outline relative to the true one.
    signal : (N,) ndarray
        Signal that the territory gathers relative to the whole: blur carries some beyond it.
    fill, slope : (N,) ndarray
        See `PieceMeasures`.
    """

    diameters_nm: NDArray[np.float64]
    contrast: NDArray[np.float64]
    peak: NDArray[np.float64]
    outlined: NDArray[np.float64]
    signal: NDArray[np.float64]
    fill: NDArray[np.float64]
    slope: NDArray[np.float64]

    def contrast_of(self, diameter_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Interpolate the relative contrast of balls."""
        return self._interpolate(diameter_nm, self.contrast)

    def outlined_of(self, diameter_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Interpolate the volume of balls within their half-way outline, relative to the true one."""
        return self._interpolate(diameter_nm, self.outlined)

    def signal_of(self, diameter_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Interpolate the part of the signal of balls that is gathered."""
        return self._interpolate(diameter_nm, self.signal)

    def fill_of(self, diameter_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Interpolate the fill of balls."""
        return self._interpolate(diameter_nm, self.fill)

    def slope_of(self, diameter_nm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Interpolate the slope of the outline of balls."""
        return self._interpolate(diameter_nm, self.slope)

    def _interpolate(
        self, diameter_nm: NDArray[np.float64], measure: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return np.interp(np.log(np.maximum(diameter_nm, 1.0)), np.log(self.diameters_nm), measure)


def ball_response(
    spacing_nm: SpacingNm,
    depth_nm: float,
    blur_nm: float,
    smoothing_nm: tuple[float, float],
    largest_nm: float,
    execution: Execution | None = None,
) -> BallResponse:
    """Measure rendered balls by the functions that measure particles.

    Parameters
    ----------
    spacing_nm
        Voxel size.
    depth_nm
        Depth from which the signal of a slice comes.
    blur_nm
        Standard deviation of the blur in the plane, that of the smoothing left out.
    smoothing_nm
        Standard deviations of the smoothing along y and x.
    largest_nm
        Diameter of the largest ball.
    execution
        Executor of the measurements; by default one thread.
    """
    execution = execution or Execution()
    pixel = pixel_nm(spacing_nm)
    count = max(2, int(np.ceil(np.log(largest_nm / pixel) / np.log(_RATIO))) + 1)
    diameters = pixel * _RATIO ** np.arange(count)
    # The largest first: they take longest.
    measured = map_blocks(
        _measure_ball, diameters[::-1].tolist(), spacing_nm, depth_nm, blur_nm, smoothing_nm,
        executor=execution.executor, ahead=4 * max(1, execution.workers),
    )  # fmt: skip
    rows = [row for _, row in measured][::-1]
    contrast, outlined, signal, fill, slope, peak = (
        np.array(column, np.float64) for column in zip(*rows, strict=True)
    )
    rising = np.maximum.accumulate(contrast).astype(np.float64)
    return BallResponse(diameters.astype(np.float64), rising, peak, outlined, signal, fill, slope)


@lru_cache(maxsize=512)
def _measure_ball(
    diameter_nm: float,
    spacing_nm: SpacingNm,
    depth_nm: float,
    blur_nm: float,
    smoothing_nm: tuple[float, float],
) -> tuple[float, float, float, float, float, tuple[float, ...]]:
    """Return contrast, outlined volume, gathered signal, fill and slope of a ball, and its peak at each place."""
    around = body_surroundings(spacing_nm)
    measured, peaks = [], []
    for place in range(_PLACES):
        offset = (0.5 + (place + 1) * _GENERALISED_GOLDEN) % 1 - 0.5
        sharp, soft = render_ball(diameter_nm, offset, spacing_nm, depth_nm, blur_nm, smoothing_nm)
        peaks.append(float(soft.max()) / _CONTRAST)
        level = soft.max() * 0.3
        bodies = find_bodies(soft, soft > level, np.ones((3, 2), bool), 0.0, around, sharp)
        if not bodies:
            continue
        body = bodies[0]
        piece = measure_pieces(sharp, soft, body, [body.voxels], (1, 1, 1), (999, 9999, 9999), spacing_nm)[0]
        volume = np.pi / 6 * diameter_nm**3
        outlined = len(body.voxels) * float(np.prod(spacing_nm)) / volume
        signal = piece.signal / (_CONTRAST * volume)
        measured.append((body.contrast / _CONTRAST, outlined, signal, min(piece.fill, 1.2), piece.slope))
    if not measured:
        return 0.0, 1.0, 1.0, 1.0, 1.0, tuple(peaks)
    contrast, _, _, fill, slope = np.nanmedian(measured, axis=0)
    outlined, signal = np.mean([entry[1:3] for entry in measured], axis=0)
    return float(contrast), float(outlined), float(signal), float(fill), float(slope), tuple(peaks)


def render_ball(
    diameter_nm: float,
    offset: NDArray[np.float64],
    spacing_nm: SpacingNm,
    depth_nm: float,
    blur_nm: float,
    smoothing_nm: tuple[float, float],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Render a ball of contrast 100 on 0, as acquired and smoothed.

    Parameters
    ----------
    offset : (3,) ndarray
        Place of the centre relative to that of the middle voxel, in voxels.

    Returns
    -------
    acquired, smoothed : (Z, Y, X) ndarray of float32
        The chords along z are exact; the plane is sampled `_FINE` times a pixel.
    """
    radius = diameter_nm / 2
    reach = [int(np.ceil((radius + 3 * blur_nm + 160) / step)) + 1 for step in spacing_nm]
    centres = (np.arange(-reach[0], reach[0] + 1) - offset[0]) * spacing_nm[0]
    depth = max(depth_nm, 1e-3 * spacing_nm[0])
    blur = [0.0, *(blur_nm / step for step in spacing_nm[1:])]
    smoothing = [0.0, *(s / step for s, step in zip(smoothing_nm, spacing_nm[1:], strict=True))]
    acquired, smoothed = (np.zeros([2 * n + 1 for n in reach], np.float32) for _ in range(2))
    # All is 0 beyond the reach of the filters around the ball.
    planes = _near(np.abs(centres) < radius + depth / 2, 0)
    sides, axes = [], []
    for n, step, o, *sigmas in zip(
        reach[1:], spacing_nm[1:], offset[1:], blur[1:], smoothing[1:], strict=True
    ):
        fine = (np.arange(-n * _FINE - _FINE // 2, n * _FINE + _FINE // 2 + 1) / _FINE - o) * step
        touched = (np.abs(fine) < radius).reshape(-1, _FINE).any(axis=1)
        sides.append(_near(touched, sum(int(_TRUNCATE * sigma) + 1 for sigma in sigmas)))
        axes.append(fine[sides[-1].start * _FINE : sides[-1].stop * _FINE])
    half = np.sqrt(np.maximum(radius**2 - axes[0][:, None] ** 2 - axes[1] ** 2, 0))
    chords = [
        np.maximum(np.minimum(half, c + depth / 2) - np.maximum(-half, c - depth / 2), 0) / depth
        for c in centres[planes]
    ]
    shape = (len(chords), len(axes[0]) // _FINE, _FINE, len(axes[1]) // _FINE, _FINE)
    pixels = (np.stack(chords) * _CONTRAST).reshape(shape).mean(axis=(2, 4))
    sharp = gaussian(pixels, blur, _TRUNCATE) if blur_nm > 0 else pixels
    acquired[planes, *sides] = sharp
    smoothed[planes, *sides] = gaussian(sharp, smoothing, _TRUNCATE)
    return acquired, smoothed


def _near(touched: NDArray[np.bool_], margin: int) -> slice:
    """Return the part of an axis that holds the places touched, with a margin; the middle if there are none."""
    places = np.flatnonzero(touched)
    if not len(places):
        places = np.array([len(touched) // 2])
    return slice(max(0, int(places[0]) - margin), min(len(touched), int(places[-1]) + margin + 1))
