"""Images with their truth, from the phantom's scenes and from the independent generator, in one form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from _independent_cases import Limits, UnkindCase
from _independent_images import draw
from _independent_particles import is_cut
from numpy.typing import NDArray

from spherovem_core.synthetic.phantom import Phantom, make_phantom

SCENE_SHAPE = (24, 256, 256)
"""Shape of the phantoms."""
COLUMNS = {"centre_z_nm": "z_nm", "centre_y_nm": "y_nm", "centre_x_nm": "x_nm", "agglomerate": "clump"}


@dataclass(frozen=True, eq=False)
class SceneImage:
    """An acquisition and its truth.

    Attributes
    ----------
    image : (Z, Y, X) ndarray of uint8 or uint16
        Slices as acquired.
    particles
        True particles in the ideal frame, with the columns of `_independent_images.Drawing`.
    labels : (Z, Y, X) ndarray of uint32
        True particles in the ideal frame.
    transforms : (Z, 2, 3) ndarray of float64
        Map of ideal pixel coordinates (y, x, 1) to those of the acquired slice.
    clean : (Z, Y, X) ndarray of float32, or None
        Acquired slices without noise, where they are known.
    cover : (Z, Y, X) ndarray of float32, or None
        Fraction of each voxel that particles fill, where it is known.
    nanoparticles : mapping
        Parameters that a user must set.
    truth
        The phantom; None for other images.
    """

    image: NDArray[Any]
    spacing_nm: tuple[float, float, float]
    particles: pd.DataFrame
    labels: NDArray[np.uint32]
    transforms: NDArray[np.float64]
    clean: NDArray[np.float32] | None = None
    cover: NDArray[np.float32] | None = None
    nanoparticles: Mapping[str, Any] = field(default_factory=dict)
    truth: Any = None


@dataclass(frozen=True)
class SceneCase:
    """A named image that is made from a seed, and what its result must reach."""

    name: str
    make: Callable[[int], SceneImage]
    limits: Limits = field(default_factory=Limits)


def independent_image(case: UnkindCase, seed: int) -> SceneImage:
    """Draw the image of a case of the independent generator."""
    drawing = draw(case.recipe, seed)
    still = np.tile(np.eye(3)[:2], (len(drawing.image), 1, 1))
    return SceneImage(
        drawing.image,
        drawing.spacing_nm,
        drawing.particles,
        drawing.labels,
        still,
        drawing.clean,
        drawing.cover,
        drawing.parameters,
    )


def phantom_image(scenes: Sequence[str], seed: int, **overrides: Any) -> SceneImage:
    """Make a phantom with scenes."""
    phantom = make_phantom(scenes=scenes, **{"shape": SCENE_SHAPE, "seed": seed} | overrides)
    # Particles that charging or the databar hides are not asked for; those in resin are seen.
    hidden = (phantom.particles["place"] != "resin") & (visible_fraction(phantom) < 0.5)
    particles = phantom.particles[~hidden].rename(columns=COLUMNS)
    # Slices of uneven thickness: positions are compared in slices.
    numbers = np.arange(len(phantom.image)) * phantom.spacing_nm[0]
    particles["z_nm"] = np.interp(particles["z_nm"], phantom.slice_positions_nm, numbers)
    particles["cut"] = is_cut(particles, phantom.image.shape, phantom.spacing_nm)
    dark = {"polarity": "dark"} if phantom.parameters.inverted else {}
    return SceneImage(
        phantom.image,
        phantom.spacing_nm,
        particles,
        phantom.nanoparticles,
        phantom.transforms,
        nanoparticles=dark,
        truth=phantom,
    )


def visible_fraction(phantom: Phantom) -> NDArray[np.float64]:
    """Compute the fraction of the voxels of each particle that the acquired slices show as specimen."""
    owners = phantom.nanoparticles.ravel()
    count = len(phantom.particles) + 1
    whole = np.bincount(owners, minlength=count)[1:]
    seen = np.bincount(owners, phantom.specimen.ravel(), minlength=count)[1:]
    return np.asarray(seen / np.maximum(whole, 1), dtype=np.float64)
