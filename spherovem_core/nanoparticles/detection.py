"""Detection: what is a candidate on the scale of the stack."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spherovem_core.nanoparticles.contrast_heights import highest
from spherovem_core.nanoparticles.local_contrast import (
    ContrastFilters,
    contrast_filters,
    contrast_parts,
    intensity_unit,
    largest_diameter,
    to_intensity,
)
from spherovem_core.nanoparticles.slice_statistics import SliceStatistics
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# A body fits in an opening that is wider than this fraction of its side.
_FITS = 0.85


@dataclass(frozen=True, eq=False)
class Detection:
    """Levels and scale by which candidates are found.

    Attributes
    ----------
    dtype, polarity
        Type of the image, and polarity of the particles.
    maps : (Z, 2) ndarray
        Gain and offset of each slice: gain * v + offset is on the scale of the stack.
    noise
        Standard deviation of the noise in grey values.
    min_contrasts
        Contrast in grey values that a maximum must have to be a candidate, for each opening of the filters.
    filters
        Filters of the local contrast.
    reach
        Radius along z in slices, and along y and x in pixels, around a candidate in which its voxels are sought.
    """

    dtype: str
    polarity: Literal["bright", "dark"]
    maps: NDArray[np.float64]
    noise: float
    min_contrasts: tuple[float, ...]
    filters: ContrastFilters
    reach: tuple[int, int, int]

    @property
    def unit(self) -> int:
        """Units of the measured contrast per grey value."""
        return intensity_unit(np.dtype(self.dtype))

    @property
    def level(self) -> int:
        """Contrast of candidates in these units; 65535, the highest, is a candidate where no level is lower."""
        return int(np.clip(np.ceil(self.min_contrasts[-1] * self.unit), 1, 65535))

    @property
    def min_contrast(self) -> float:
        """Contrast of the faintest candidates in grey values."""
        return min(self.min_contrasts)

    @property
    def smooth_noise(self) -> float:
        """Standard deviation of the noise of the smoothed image: what a Gaussian leaves of white noise."""
        return float(self.noise / (2 * np.sqrt(np.pi * np.prod(self.filters.sigma))))

    def min_contrast_of(self, section_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the contrast that candidates of a width in pixels must have: that of the narrowest opening they fit in."""
        out = np.full(np.shape(section_px), self.min_contrasts[-1])
        for sides, contrast in reversed(
            list(zip(self.filters.openings, self.min_contrasts, strict=True))[:-1]
        ):
            out = np.where(section_px < _FITS * min(sides), np.minimum(contrast, self.min_contrasts[-1]), out)
        return out

    def contrast_slice(self, image: NDArray[np.unsignedinteger], z: int) -> NDArray[np.uint16]:
        """Measure the contrast of slice z of the volume: the highest over the openings, each relative to its candidates.

        Returns
        -------
        (Y, X) ndarray of uint16
            Candidates have `level` or more.
        """
        gain, offset = self.maps[z]
        factors = [self.min_contrasts[-1] / max(least, 1e-3) for least in self.min_contrasts[:-1]]
        scale = np.array([*factors, 1.0], np.float32)
        out = np.empty(image.shape, np.uint16)
        for region, heights in contrast_parts(to_intensity(image, self.polarity, gain, offset), self.filters):
            out[region] = highest(heights, scale)
        return out


def plan_detection(
    statistics: SliceStatistics, dtype: np.dtype, spacing_nm: SpacingNm, parameters: NanoparticleParameters
) -> Detection:
    """Choose levels and scale from the statistics of a volume."""
    radius = largest_diameter(parameters) / 2
    reach = tuple(int(radius // step) for step in spacing_nm)
    return Detection(
        str(dtype),
        parameters.polarity,
        statistics.maps,
        statistics.noise,
        statistics.candidate_contrasts(),
        contrast_filters(spacing_nm, parameters),
        (reach[0], reach[1], reach[2]),
    )
