"""Options that are written as text: ``--set STAGE.NAME=VALUE`` and ``--roi Z Y X``."""

from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from spherovem_core.errors import ParameterError
from spherovem_core.overrides import Overrides, explain
from spherovem_core.region_of_interest import AXES, WHOLE, RegionOfInterest


def parse_assignment(text: str) -> Overrides:
    """Turn ``registration.model=rigid`` into nested mappings; the value is read as YAML.

    Raises
    ------
    ParameterError
        If the text has another form.
    """
    path, sign, value = text.partition("=")
    names = path.strip().split(".")
    if not sign or not all(names):
        raise ParameterError(f"--set {text!r} is not of the form stage.parameter=value")
    try:
        nested: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ParameterError(f"--set {text!r}: the value is not YAML") from error
    for name in reversed(names):
        nested = {name: nested}
    assigned: Overrides = nested
    return assigned


def parse_region(texts: Sequence[str]) -> RegionOfInterest:
    """Turn ``10:42 100:612 :`` into a region of interest.

    The texts are ranges of voxels along z, y and x. A range is open where a number is left out.

    Raises
    ------
    ParameterError
        If a text has another form or a range is empty.
    """
    if not texts:
        return WHOLE
    ranges = [text.split(":") for text in texts]
    numbers = [number.strip() for pair in ranges for number in pair]
    if [len(pair) for pair in ranges] != [2, 2, 2] or not all(n.isdecimal() or not n for n in numbers):
        raise ParameterError(
            f"--roi {' '.join(texts)}: expected three ranges of voxels along z, y and x, such as 10:42 100:612 :"
        )
    names = [f"{axis}_{end}" for axis in AXES for end in ("start", "stop")]
    try:
        return RegionOfInterest.model_validate({name: n for name, n in zip(names, numbers, strict=True) if n})
    except ValidationError as error:
        raise ParameterError(f"--roi {' '.join(texts)}: {explain(error, RegionOfInterest)}") from error
