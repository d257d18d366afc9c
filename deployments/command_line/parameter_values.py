"""Parameters that differ from the defaults: from a file, from the command line, merged and checked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from spherovem_core.errors import ParameterError
from spherovem_core.overrides import Overrides, explain, merge
from spherovem_core.parameters import PipelineParameters
from spherovem_core.region_of_interest import AXES, WHOLE, RegionOfInterest

__all__ = [
    "Overrides",
    "build_parameters",
    "explain",
    "merge",
    "parse_assignment",
    "parse_region",
    "read_overrides",
]


def build_parameters(overrides: Sequence[Mapping[str, Any]]) -> PipelineParameters:
    """Merge overrides into the default parameters, later ones over earlier ones.

    Raises
    ------
    ParameterError
        If a name is unknown or a value out of bounds; all such problems in one message.
    """
    merged: Overrides = {}
    for override in overrides:
        merged = merge(merged, override)
    complete = merge(PipelineParameters().model_dump(), merged)
    try:
        return PipelineParameters.model_validate(complete)
    except ValidationError as error:
        raise ParameterError(explain(error, PipelineParameters)) from error


def read_overrides(path: Path) -> Overrides:
    """Read a YAML file of parameters, a mapping of stages to their parameters.

    Raises
    ------
    ParameterError
        If the file cannot be read or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ParameterError(f"the parameters file {path} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"the parameters file {path} is no YAML: {' '.join(str(error).split())}"
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ParameterError(
            f"the parameters file {path} holds {type(content).__name__}; "
            "expected stages and their parameters, such as 'registration: {model: rigid}'"
        )
    return content


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
        raise ParameterError(f"--set {text!r}: the value is no YAML") from error
    for name in reversed(names):
        nested = {name: nested}
    assigned: Overrides = nested
    return assigned


def parse_region(texts: Sequence[str]) -> RegionOfInterest:
    """Turn ``10:42 100:612 :`` into a region: one range of voxels along z, y and x, open where a number is left out.

    Raises
    ------
    ParameterError
        If the text has another form or a range holds nothing.
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
        return RegionOfInterest.model_validate({name: n or 0 for name, n in zip(names, numbers, strict=True)})
    except ValidationError as error:
        raise ParameterError(f"--roi {' '.join(texts)}: {explain(error, RegionOfInterest)}") from error
