"""What the compact networks are trained on: plain phantoms, or phantoms with the scenes of real acquisitions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spherovem_core.parameters import ObjectParameters
from spherovem_core.synthetic.compact_training.sections import (
    Section,
    check_seed,
    cut_sections,
    phantom_sections,
    reduced,
)
from spherovem_core.synthetic.phantom import make_phantom

SCENES: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.5, ("resin", "dark-resin", "spheroid", "lumina", "dark-lumina")),
    (0.5, ("droplets", "lysosomes", "dark-lysosomes")),
    (0.4, ("heterochromatin", "dark-heterochromatin")),
    (0.3, ("streaks", "halos")),
    (0.3, ("curtains",)),
    (0.3, ("focus-drift", "contrast-drift", "shading")),
    (0.3, ("thickness", "escape-depth")),
    (0.3, ("poisson", "correlated")),
    (0.4, ("dividing-cells", "dead-cells", "many-nuclei", "no-nuclei")),
    (0.5, ("two-kinds", "sizes", "clumps", "vesicles", "no-particles")),
)
"""Chance of a group of scenes, and the scenes of which one is drawn."""


@dataclass(frozen=True)
class SectionRecipe:
    """Sections and appearance from which a pair of compact networks is trained.

    Attributes
    ----------
    sections
        Makes the training sections of a seed.
    contrast, brightness
        Bounds of the factor about the middle and of the sum by which crops are changed; 0 and 1 are the percentiles of a volume.
    gamma
        Largest power of e in the exponent of the greys.
    inverted
        Fraction of the crops that are inverted.
    """

    sections: Callable[[int], list[Section]]
    contrast: tuple[float, float] = (0.75, 1.3)
    brightness: float = 0.15
    gamma: float = 0.0
    inverted: float = 0.0


def scene_sections(seed: int, stride: int = 3) -> list[Section]:
    """Make the training sections of one phantom with scenes.

    The seed decides which scenes there are, voxel size, size and shape of the cells, width of the membranes, contrast, blur and
    noise, and errors of registration up to half a pixel, at flow spacings of 85 to 150 nm.

    Parameters
    ----------
    seed
        Seed of the phantom and of everything drawn here.
    stride
        Distance between the sections taken of each plane.

    Raises
    ------
    ValueError
        If the seed is below `FIRST_TRAINING_SEED`.
    """
    check_seed(seed)
    generator = np.random.default_rng((seed, 1))
    names = [str(generator.choice(group)) for chance, group in SCENES if generator.random() < chance]
    phantom = make_phantom(
        scenes=names,
        shape=(72, 256, 256),
        spacing_nm=(float(generator.uniform(90, 140)), 55.0, 55.0),
        seed=seed,
        **_settings(generator),
    )
    parameters = ObjectParameters(flow_spacing_nm=float(generator.uniform(85, 150)))
    image, cells, nuclei = reduced(phantom, phantom.image.astype(np.float32), parameters)
    return cut_sections(image, cells, nuclei, stride, generator)


def _settings(generator: np.random.Generator) -> Mapping[str, Any]:
    """Draw tissue and microscope; slices lie where registration leaves them."""
    uniform = generator.uniform
    return {
        "cell_diameter_um": float(uniform(2.8, 6.5)),
        "cell_diameter_cv": float(uniform(0.05, 0.25)),
        "cell_elongation": float(uniform(0.05, 0.25)),
        "cell_waviness": float(uniform(0.5, 1.5)),
        "membrane_width_nm": float(uniform(25, 90)),
        "extracellular_fraction": float(uniform(0, 0.4)),
        "nucleus_fraction": float(uniform(0.45, 0.72)),
        "contrast": float(uniform(0.6, 1.3)),
        "blur_nm": float(uniform(10, 90)),
        "read_noise": float(uniform(0, 10)),
        "shot_noise": float(uniform(0, 10)),
        "jitter_shift_px": float(uniform(0, 0.5)),
        "drift_shift_px": 0.0,
        "jitter_rotation_deg": 0.0,
        "jitter_scale": 0.0,
    }


RECIPES: Mapping[str, SectionRecipe] = {
    "phantom": SectionRecipe(phantom_sections),
    "em": SectionRecipe(scene_sections, contrast=(0.6, 1.6), brightness=0.25, gamma=0.5, inverted=0.1),
}
