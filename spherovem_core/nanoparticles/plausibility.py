"""Warnings on results that look wrong, with what was seen and what to set."""

import numpy as np
import pandas as pd

from spherovem_core.nanoparticles.acquisition_blur import AcquisitionBlur
from spherovem_core.nanoparticles.local_contrast import largest_diameter
from spherovem_core.nanoparticles.populations import Population, overlap_warning
from spherovem_core.parameters import NanoparticleParameters

_MUCH = 0.1
_MANY_OTHERS, _FEWEST = 0.5, 5
_NEAR_LIMIT, _MANY = 0.85, 0.1
# Reason of an object all of whose voxels belong to another particle.
COVERED = "within another particle"
_NOT_SOLID = ("faint", "too small", "below min_volume_nm3", "smaller than two voxels", COVERED)


def find_warnings(
    particles: pd.DataFrame,
    others: pd.DataFrame,
    populations: list[Population],
    blur: AcquisitionBlur,
    unsplit: str,
    fraction: float,
    parameters: NanoparticleParameters,
) -> list[str]:
    """List what looks wrong in the result of a stack.

    Parameters
    ----------
    particles, others
        Tables of the particles and of the other objects.
    populations
        Populations of the particles.
    blur
        Blur of the acquisition.
    unsplit
        Why clumps were not split; empty if they were, or were not asked for.
    fraction
        Fraction of the volume that is nanoparticle.
    parameters
        Parameters of the stage.
    """
    found = [
        _much_labelled(fraction),
        _many_others(particles, others),
        _near_limit(particles, others, parameters),
        overlap_warning(populations),
        _assumed_blur(particles, blur),
        _unsplit_clumps(others, unsplit),
        _whole_clumps(particles),
    ]
    return [warning for warning in found if warning]


def _much_labelled(fraction: float) -> str | None:
    if fraction <= _MUCH:
        return None
    return (
        f"{fraction:.0%} of the volume is labelled nanoparticle, more than the plausible {_MUCH:.0%}; "
        "check polarity, and set expected_diameter_nm"
    )


def _many_others(particles: pd.DataFrame, others: pd.DataFrame) -> str | None:
    solid = others[~others.reason.isin(_NOT_SOLID)]
    if len(solid) < max(_FEWEST, _MANY_OTHERS * len(particles)):
        return None
    reasons = ", ".join(f"{count} {reason}" for reason, count in solid.reason.value_counts().head(3).items())
    return (
        f"{len(solid)} other objects stand out beside {len(particles)} nanoparticles ({reasons}): droplets, charging or stained "
        "bodies; look at them in the table other_objects, and set expected_diameter_nm if particles are among them"
    )


def _near_limit(
    particles: pd.DataFrame, others: pd.DataFrame, parameters: NanoparticleParameters
) -> str | None:
    limit = largest_diameter(parameters)
    near = int((1e3 * particles.equivalent_diameter_um > _NEAR_LIMIT * limit).sum())
    beyond = int((others.reason == "too large").sum())
    if near < max(2, _MANY * len(particles)) or not beyond:
        return None
    return (
        f"{near} nanoparticles are nearly as large as the limit of {limit:.0f} nm, and {beyond} objects are larger: the limit "
        "may cut through one kind of object; set expected_diameter_nm"
    )


def _assumed_blur(particles: pd.DataFrame, blur: AcquisitionBlur) -> str | None:
    if blur.objects or not len(particles):
        return None
    return (
        f"too few compact objects show the blur of the image; {blur.sigma_nm:.0f} nm is assumed, and the diameters of particles "
        "less than five pixels wide may be wrong by 5 %"
    )


def _unsplit_clumps(others: pd.DataFrame, unsplit: str) -> str | None:
    clumps = int(np.isin(others.reason.to_numpy(object), ("irregular", "too large", "elongated")).sum())
    if not unsplit or not clumps:
        return None
    return (
        f"{clumps} objects that may be clumps of touching particles were not split, because no size of a particle is evident "
        f"({unsplit}); set expected_diameter_nm"
    )


def _whole_clumps(particles: pd.DataFrame) -> str | None:
    clumps = int((particles.kind == "clump").sum())
    if not clumps:
        return None
    return (
        f"{clumps} of {len(particles)} rows of the table nanoparticles are clumps whose particles could not be told apart "
        "(kind clump): each counts as one, with its own volume; set expected_diameter_nm to split them"
    )
