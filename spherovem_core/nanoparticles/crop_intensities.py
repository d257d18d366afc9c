"""Intensities of crops: all slices of one are brought to the scale of the stack and smoothed together."""

from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.nanoparticles.binning import level_count
from spherovem_core.nanoparticles.local_contrast import ContrastFilters, intensity_unit, smooth_slice

# OpenCV filters so many slices at once, as the channels of one image.
_MOST_CHANNELS = 64


def crop_intensities(
    images: NDArray[Any],
    maps: NDArray[np.float64],
    polarity: Literal["bright", "dark"],
    filters: ContrastFilters,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bring a crop to bright particles and to the scale of the stack, in grey values.

    The values are those of `to_intensity` and `smooth_slice` for each slice; a call for each takes several times as long.

    Parameters
    ----------
    images : (Z, Y, X) ndarray of uint8 or uint16
        The crop.
    maps : (Z, 2) ndarray
        Gain and offset of each of its slices.
    polarity, filters
        Polarity of the particles, and filters of the local contrast.

    Returns
    -------
    intensity, smooth : (Z, Y, X) ndarray of float32
        As acquired, and smoothed.
    """
    unit, highest = intensity_unit(images.dtype), level_count(images.dtype) - 1
    intensity, smooth = np.empty(images.shape, np.float32), np.empty(images.shape, np.float32)
    for start in range(0, len(images), _MOST_CHANNELS):
        part = slice(start, start + _MOST_CHANNELS)
        depth, height, width = images[part].shape
        planes = np.empty((height, width, depth), np.uint16)
        _bring(
            np.ascontiguousarray(images[part]), maps[part], float(unit), highest, polarity == "dark", planes
        )
        _scale(planes, np.float32(1 / unit), intensity[part])
        _scale(smooth_slice(planes, filters).reshape(planes.shape), np.float32(1 / unit), smooth[part])
    return intensity, smooth


def bring_to_scale(
    images: NDArray[Any], maps: NDArray[np.float64], polarity: Literal["bright", "dark"]
) -> NDArray[np.float32]:
    """Bring a crop (Z, Y, X) to bright particles and to the scale of the stack, as `crop_intensities` does."""
    unit, highest = intensity_unit(images.dtype), level_count(images.dtype) - 1
    depth, height, width = images.shape
    planes, out = np.empty((height, width, depth), np.uint16), np.empty(images.shape, np.float32)
    _bring(np.ascontiguousarray(images), maps, float(unit), highest, polarity == "dark", planes)
    _scale(planes, np.float32(1 / unit), out)
    return out


@njit(cache=True, nogil=True)
def _bring(images, maps, unit, highest, dark, out):  # type: ignore[no-untyped-def]
    """Write the slices, in units of `intensity_unit`, as the channels of an image (Y, X, Z)."""
    for z in range(images.shape[0]):
        gain, offset = maps[z, 0], maps[z, 1]
        for y in range(images.shape[1]):
            for x in range(images.shape[2]):
                level = highest - images[z, y, x] if dark else images[z, y, x]
                value = np.rint((gain * level + offset) * unit)
                out[y, x, z] = np.uint16(min(max(value, 0.0), 65535.0))


@njit(cache=True, nogil=True)
def _scale(planes, factor, out):  # type: ignore[no-untyped-def]
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                out[z, y, x] = np.float32(planes[y, x, z]) * factor
