"""Denoised images of the pipeline, compared with the truth and with classical filters tuned on it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from _classical_denoisers import Image, psnr, tuned
from _scene_images import SceneImage
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.denoising.grey_map import GreyMap
from spherovem_core.steps.denoising import DENOISED
from spherovem_core.store import Layout, open_array

# Every sixth slice is compared: non-local means take seconds per slice.
JUDGED = slice(2, None, 6)
# Particles from two pixels across keep their contrast; diameters of a population spread by 5 %.
LEAST_PIXELS = 2 * 0.94


@dataclass(frozen=True)
class DenoisedScore:
    """Score of a denoised image.

    Attributes
    ----------
    noisy_db, denoised_db, best_db
        Peak signal-to-noise ratio of the image as acquired, denoised, and by the best of the tuned classical filters; the
        peak is 255 grey values, and in 16-bit images that of the range which the 8-bit ones have.
    best
        That filter, with its strength.
    contrast
        Smallest median of the kept contrast (denoised over true) of a population; NaN without particles.
    tissue_bits
        Logarithm to base 2 of the stored levels between the 1 and 99 % quantiles of the denoised image outside particles.
    """

    noisy_db: float
    denoised_db: float
    best_db: float
    best: str
    contrast: float
    tissue_bits: float

    @property
    def gain_db(self) -> float:
        """Lead over the best classical filter."""
        return self.denoised_db - self.best_db


def score_denoised(scene: SceneImage, layout: Layout, unit: float = 1.0) -> DenoisedScore:
    """Compare the denoised image of a run with the clean one; `unit` is what a grey value of the 8-bit image is stored as.

    Raises
    ------
    ValueError
        If the clean image of the scene is not known.
    """
    if scene.clean is None or scene.cover is None:
        raise ValueError("the scene has no clean image; take one of the independent generator")
    stored: Any = open_array(layout, DENOISED.group)
    levels = stored[:]
    denoised = (in_acquired_units(stored) / unit).astype(np.float32)
    clean = scene.clean / np.float32(unit)
    noisy = scene.image.astype(np.float32) / np.float32(unit)
    best, result = max(tuned(noisy[JUDGED], clean[JUDGED]), key=lambda found: psnr(found[1], clean[JUDGED]))
    tissue = np.percentile(levels[scene.cover == 0], [1, 99])
    return DenoisedScore(
        psnr(noisy[JUDGED], clean[JUDGED]),
        psnr(denoised[JUDGED], clean[JUDGED]),
        psnr(result, clean[JUDGED]),
        best,
        kept_contrast(denoised, clean, scene.cover, scene),
        float(np.log2(max(tissue[1] - tissue[0], 1))),
    )


def in_acquired_units(stored: Any) -> NDArray[np.float32]:
    """Undo the map from grey values to stored levels."""
    grey_map = GreyMap.model_validate(stored.details["denoising"]["sample"]["grey_map"])
    return grey_map.values(stored[:])


def kept_contrast(denoised: Image, clean: Image, cover: Image, scene: SceneImage) -> float:
    """Compute which fraction of the contrast of its particles an image kept, in the median of the worst population.

    The contrast of a particle is the mean of its fullest voxels, those filled by 90 % of the most, less the mean of a shell
    around it without particles.
    """
    table, ratios = scene.particles, []
    for _, group in table[table["diameter_nm"] >= LEAST_PIXELS * scene.spacing_nm[2]].groupby("population"):
        kept = [_contrast_ratio(denoised, clean, cover, scene.labels == label) for label in group["label"]]
        ratios.append(float(np.nanmedian(kept)))
    return min(ratios, default=float("nan"))


def _contrast_ratio(denoised: Image, clean: Image, cover: Image, mine: NDArray[np.bool_]) -> float:
    """Divide the contrast of one particle in one image by that in another; NaN if other particles leave no surroundings."""
    region = ndimage.find_objects(mine.astype(np.uint8))[0]
    around = tuple(
        slice(max(0, s.start - pad), s.stop + pad) for s, pad in zip(region, (0, 6, 6), strict=True)
    )
    core = mine[around] & (cover[around] >= 0.9 * cover[around][mine[around]].max())
    shell = cover[around] == 0
    if not shell.any():
        return float("nan")
    after, before = (
        float(image[around][core].mean() - image[around][shell].mean()) for image in (denoised, clean)
    )
    return after / before if before else float("nan")
