"""Tables of the posterior and the contrast of every intensity of a slice, and their application to images."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.errors import MixtureError, ShapeMismatchError
from spherovem_core.nanoparticles.binning import level_count
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.parameters import NanoparticleParameters

# Evidence beyond this many nats is no stronger: one extreme voxel must not outvote its neighbours.
EVIDENCE_LIMIT = 5.0


class SliceTable(NamedTuple):
    """Posterior and contrast of each of the 256 or 65536 intensities of one slice; both (levels,) ndarrays.

    Attributes
    ----------
    posterior : float32
        Probability that a voxel is nanoparticle; rises with the intensity.
    contrast : float32
        Position on the scale from the background's mean (0) to the nanoparticles' mean (1).
    """

    posterior: NDArray[np.float32]
    contrast: NDArray[np.float32]


def slice_table(mixture: Mixture, z: int) -> SliceTable:
    """Tabulate the posterior and the contrast for the intensities of slice z.

    The posterior is w f / (w f + w r e + q (1 - w - w r) b). Here w is the weight of the slice; f, e and b are the
    probabilities of nanoparticles, of their outer edge and of the background at the intensity on the stack's scale; r is
    the `edge_ratio` and q the `background_ratio` of the mixture. The last intensity stands for all intensities clipped to
    it, and has the probability of the distributions from there on. Where the tails of the fit would let the posterior
    fall with intensity, it stays constant.

    Raises
    ------
    MixtureError
        If the mixture does not have slice z.
    """
    if not 0 <= z < len(mixture.weights):
        raise MixtureError(
            f"slice {z} is not one of the mixture's {len(mixture.weights)}; fit the mixture to this volume"
        )
    levels = level_count(np.dtype(mixture.dtype))
    gain, offset = mixture.maps[z]
    scaled = gain * np.arange(levels) + offset
    if mixture.detected:
        posterior = _posterior(mixture, float(mixture.weights[z]), scaled)
        contrast = (scaled - mixture.background_mean) / (mixture.particle_mean - mixture.background_mean)
    else:
        posterior, contrast = np.zeros(levels), np.zeros(levels)
    if mixture.polarity == "dark":
        posterior, contrast = posterior[::-1], contrast[::-1]
    return SliceTable(posterior.astype(np.float32), contrast.astype(np.float32))


def _posterior(mixture: Mixture, weight: float, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    background, particles, edge = (
        _probabilities(pmf, scaled, mixture.levels)
        for pmf in (mixture.background, mixture.particles, mixture.edge)
    )
    on_edge = weight * mixture.edge_ratio
    ahead = weight * particles
    tissue = mixture.background_ratio * max(1 - weight - on_edge, 0.0)
    other = on_edge * edge + tissue * background
    # Below the mean background both tails are at their floor, and their ratio has no meaning.
    chance = np.where(scaled < mixture.background_mean, 0.0, ahead / (ahead + other))
    return np.maximum.accumulate(chance)


def _probabilities(
    pmf: NDArray[np.float64], scaled: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the probability of each intensity, given on the stack's scale, up to a common factor.

    The last intensity also has the probability of all intensities above it.
    """
    out = np.exp(np.interp(scaled, levels, np.log(np.maximum(pmf, 1e-30))))
    bin_width = float(levels[1] - levels[0])
    # The last intensity begins half-way to the one before; the probability of a bin is spread evenly over it.
    start = (scaled[-1] + scaled[-2]) / 2
    below = np.interp(start, levels + bin_width / 2, np.cumsum(pmf), left=0.0)
    out[-1] = max(float(pmf.sum() - below), 1e-30) * bin_width / (scaled[-1] - scaled[-2])
    return np.asarray(out)


def evidence_table(posterior: NDArray[np.floating]) -> NDArray[np.float32]:
    """Compute the log odds of posteriors, rounded to float16 as they are stored, and limit them to `EVIDENCE_LIMIT`."""
    stored = posterior.astype(np.float16).astype(np.float64)
    with np.errstate(divide="ignore"):
        odds = np.log(stored) - np.log1p(-stored)
    return np.asarray(np.clip(odds, -EVIDENCE_LIMIT, EVIDENCE_LIMIT), np.float32)


@njit(cache=True, nogil=True)
def _look_up(image, table, out):  # type: ignore[no-untyped-def]
    flat, result = image.ravel(), out.ravel()
    for n in range(flat.size):
        result[n] = table[flat[n]]


def look_up(image: NDArray[Any], table: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Replace each intensity by its entry in a table.

    float16 values pass through the kernel as 16-bit integers, because numba has no float16.
    """
    image = np.ascontiguousarray(image)
    if out is None:
        out = np.empty(image.shape, table.dtype)
    if table.dtype == np.float16:
        _look_up(image, table.view(np.uint16), out.view(np.uint16))
    else:
        _look_up(image, table, out)
    return out


def posterior(image: NDArray[Any], mixture: Mixture, z: int) -> NDArray[np.float32]:
    """Compute the probability that each voxel is nanoparticle, from its intensity and its slice.

    Parameters
    ----------
    image : (Y, X) or (Z, Y, X) ndarray of uint8 or uint16
        One slice, or consecutive ones.
    mixture
        Mixture fitted to the volume.
    z
        Slice of the volume where `image` starts.

    Returns
    -------
    ndarray of float32
        Same shape as `image`; 0 everywhere if the stack holds no nanoparticles.

    Raises
    ------
    ShapeMismatchError
        If the image has neither two nor three axes, or another type than the mixture.
    MixtureError
        If the mixture does not have one of the slices.
    """
    if image.ndim == 2:
        return np.asarray(posterior(image[None], mixture, z)[0])
    check_image(image, mixture)
    out = np.empty(image.shape, np.float32)
    for k in range(len(image)):
        look_up(image[k], slice_table(mixture, z + k).posterior, out[k])
    return out


def contrast(image: NDArray[Any], mixture: Mixture, z: int) -> NDArray[np.float32]:
    """Convert intensities (Z, Y, X) to the scale from the background's mean (0) to the nanoparticles' (1); see `posterior`."""
    check_image(image, mixture)
    out = np.empty(image.shape, np.float32)
    for k in range(len(image)):
        look_up(image[k], slice_table(mixture, z + k).contrast, out[k])
    return out


def is_core(
    posterior: NDArray[np.floating], contrast: NDArray[np.floating] | None, parameters: NanoparticleParameters
) -> NDArray[np.bool_]:
    """Mark the voxels or intensities that can be a particle's core.

    A core has at least the posterior `core_posterior` (rounded to float16 as stored), or is brighter than the mean
    nanoparticle. The second rule serves stacks in which the distributions overlap so much that no posterior is that high.
    """
    core = posterior.astype(np.float16) >= np.float16(parameters.core_posterior)
    return np.asarray(core if contrast is None else core | (contrast >= 1))


def check_image(image: Any, mixture: Mixture) -> None:
    """Check that an image has the axes and the type that the mixture was fitted to.

    Raises
    ------
    ShapeMismatchError
        If it has not.
    """
    if len(image.shape) != 3:
        raise ShapeMismatchError(f"the image has shape {image.shape}, expected (Y, X) or (Z, Y, X)")
    if image.dtype != mixture.dtype:
        raise ShapeMismatchError(
            f"the image is {image.dtype}, the mixture was fitted to {mixture.dtype}; fit it to this image"
        )
