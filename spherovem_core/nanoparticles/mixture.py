"""Fitted mixture of background and nanoparticles, as stored in ``models/mixture.json``."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import MixtureError

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Mixture:
    """Intensities of a stack as a mixture of background and nanoparticles.

    Where `polarity` is dark, all intensities are complemented (255 - v or 65535 - v), so that nanoparticles are bright. The
    maps bring the slices to the scale of the stack.

    Attributes
    ----------
    polarity, dtype
        Polarity of the particles, ``bright`` or ``dark``, and type of the image, ``uint8`` or ``uint16``.
    detected
        True if the stack holds nanoparticles; otherwise the posterior is 0 everywhere.
    reason
        Reason for this decision.
    levels : (bins,) ndarray
        Intensity, on the scale of the stack, at the centre of each bin of the distributions.
    background, particles, edge : (bins,) ndarray
        Probabilities of background voxels, of voxels at least half in a nanoparticle, and of voxels on the outer side of a
        nanoparticle's surface; each sums to 1.
    edge_ratio
        Number of voxels of the outer edge per nanoparticle voxel.
    background_ratio
        Number of voxels in the background's bright tail, relative to the number expected from the background of the whole
        stack: tissue near particles differs from tissue elsewhere.
    weights : (Z,) ndarray
        Fraction of each slice's voxels that is nanoparticle.
    weight
        Fraction of all counted voxels that is nanoparticle.
    maps : (Z, 2) ndarray
        Gain and offset of each slice: gain * v + offset is on the scale of the stack. Gains are positive.
    background_mean, particle_mean, particle_sd
        Mean of the background; mean and standard deviation of voxels wholly inside a nanoparticle.
    overlap
        Fraction of the nanoparticles' distribution that lies under that of the background, both weighted as in the stack: 0
        if they are apart, 1 if no intensity is more likely nanoparticle than background.
    separation
        Gain in log-likelihood of two components over one, less the penalty of the Bayesian information criterion.
    log_likelihood
        Mean log-likelihood (with the prior of the weights) per undecided voxel after each iteration.
    converged
        True if the fit ended by its tolerance.
    """

    polarity: Literal["bright", "dark"]
    dtype: str
    detected: bool
    reason: str
    levels: NDArray[np.float64]
    background: NDArray[np.float64]
    particles: NDArray[np.float64]
    edge: NDArray[np.float64]
    edge_ratio: float
    background_ratio: float
    weights: NDArray[np.float64]
    weight: float
    maps: NDArray[np.float64]
    background_mean: float
    particle_mean: float
    particle_sd: float
    overlap: float
    separation: float
    log_likelihood: list[float] = field(default_factory=list)
    converged: bool = True

    def to_json(self) -> str:
        """Serialise to JSON; `from_json` restores the same numbers to the last digit."""
        values = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in asdict(self).items()
        }
        return json.dumps({"format": _FORMAT, **values}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a mixture from the text that `to_json` returned.

        Raises
        ------
        MixtureError
            If the text is not a mixture, or has another format version.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            found = values.pop("format")
            for entry in fields(cls):
                if "NDArray" in str(entry.type):
                    values[entry.name] = np.asarray(values[entry.name], np.float64)
            mixture = cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MixtureError(
                f"the mixture cannot be read ({error}); delete models/mixture.json and run the acquisition again"
            ) from error
        if found != _FORMAT:
            raise MixtureError(
                f"the mixture has format {found}, expected {_FORMAT}; run the acquisition again to fit a new one"
            )
        return mixture
