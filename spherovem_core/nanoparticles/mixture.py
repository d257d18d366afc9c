"""The fitted mixture of background and nanoparticles, as kept in ``models/mixture.json``."""

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

    All intensities are those of the image, or complemented (255 - v or 65535 - v) where `polarity` is dark, so
    that nanoparticles are bright. The stack's scale is what the slices are brought to by their maps.

    Attributes
    ----------
    polarity, dtype
        Of the image: ``bright`` or ``dark``; ``uint8`` or ``uint16``.
    detected
        Whether the stack holds nanoparticles; the posterior is 0 everywhere if not.
    reason
        Why it was decided so.
    levels : (bins,) ndarray
        Intensity, in the stack's scale, at the middle of each bin of the distributions.
    background, particles, edge : (bins,) ndarray
        Probabilities of background voxels, of voxels at least half in a nanoparticle, and of voxels
        on the outer side of a nanoparticle's surface; each sums to 1.
    edge_ratio
        Voxels of the outer edge for one nanoparticle voxel.
    background_ratio
        Voxels of the background's bright tail for each that the background as a whole would have: tissue near particles
        is not like that elsewhere.
    weights : (Z,) ndarray
        Share of each slice's voxels that is nanoparticle.
    weight
        Share of all counted voxels that is nanoparticle.
    maps : (Z, 2) ndarray
        Gain and offset of each slice: gain * v + offset is in the stack's scale. Gains are positive.
    background_mean, particle_mean, particle_sd
        Mean of the background; mean and standard deviation of voxels whole in a nanoparticle.
    overlap
        Share of the nanoparticles' distribution that lies under the background's, both weighted as in the stack:
        0 apart, 1 where no intensity is more likely nanoparticle than background.
    separation
        Gain in log-likelihood of two components over one, less the penalty of the Bayesian information criterion.
    log_likelihood
        Mean log-likelihood (with the prior of the weights) of an undecided voxel after each iteration.
    converged
        Whether the fit ended by its tolerance.
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
        """Serialise; `from_json` gives back the same numbers to the last digit."""
        values = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in asdict(self).items()
        }
        return json.dumps({"format": _FORMAT, **values}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        MixtureError
            If the text is no mixture, or one of another version.
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
