"""Fitted mixture of a stack: populations of particles, what else stands out, and the limits of the acquisition."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from spherovem_core.errors import MixtureError
from spherovem_core.nanoparticles.populations import Population

_FORMAT = 2


@dataclass(frozen=True)
class Mixture:
    """Objects of a stack as a mixture of populations of particles and of other objects; ``models/mixture.json``.

    Grey values are those of the stack's scale, complemented where `polarity` is dark.

    Attributes
    ----------
    polarity, dtype
        Polarity of the particles, and type of the image.
    detected
        True if the stack holds nanoparticles.
    reason
        Reason for this decision.
    populations
        Populations of the particles, the brightest first.
    others
        Number of other objects, by the reason why they are no particles.
    fraction
        Fraction of the volume that is nanoparticle.
    noise
        Standard deviation of the noise in grey values. This and the following limits are None for imported particles.
    min_contrast
        Contrast of the faintest candidates in grey values.
    blur_nm, depth_nm
        Standard deviation of the blur in the plane, and the depth from which the signal of a slice comes.
    blur_objects
        Number of objects that these were measured on; 0 if they are assumed.
    expected_diameter_nm
        Diameter of a single particle by which touching ones are split; None if it is neither given nor evident.
    detection_limit_nm
        Diameter of the smallest particle found with a probability of 90 %, at the contrast of the faintest population; None
        without particles.
    warnings
        What looks wrong, and what to set.
    maps
        Gain and offset of each slice: gain * v + offset is on the scale of the stack.
    """

    polarity: Literal["bright", "dark"]
    dtype: str
    detected: bool
    reason: str
    populations: list[Population]
    others: dict[str, int]
    fraction: float
    noise: float | None
    min_contrast: float | None
    blur_nm: float | None
    depth_nm: float | None
    blur_objects: int
    expected_diameter_nm: tuple[float, float] | None
    detection_limit_nm: float | None
    warnings: list[str] = field(default_factory=list)
    maps: list[tuple[float, float]] = field(default_factory=list, repr=False)

    def to_json(self) -> str:
        """Serialise to JSON; `from_json` restores the same numbers to the last digit."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, allow_nan=False)

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
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _unreadable(error) from error
        if found != _FORMAT:
            raise MixtureError(
                f"the mixture has format {found}, expected {_FORMAT}; run the acquisition again to fit a new one"
            )
        try:
            values["populations"] = [Population(**entry) for entry in values["populations"]]
            values["maps"] = [tuple(entry) for entry in values["maps"]]
            if values["expected_diameter_nm"] is not None:
                values["expected_diameter_nm"] = tuple(values["expected_diameter_nm"])
            absent = {entry.name for entry in fields(cls)} - set(values)
            if absent:
                raise KeyError(", ".join(sorted(absent)))
            return cls(**values)
        except (TypeError, KeyError) as error:
            raise _unreadable(error) from error


def _unreadable(error: Exception) -> MixtureError:
    return MixtureError(
        f"the mixture cannot be read ({error}); delete models/mixture.json and run the acquisition again"
    )
