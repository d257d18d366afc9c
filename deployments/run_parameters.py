"""Parameters of a run: the defaults, under a YAML file and single values."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from spherovem_core.errors import ParameterError
from spherovem_core.overrides import Overrides, explain, merge
from spherovem_core.parameters import PipelineParameters


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
    """Read a YAML file of parameters: a mapping of stages to their parameters.

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
            f"the parameters file {path} is not YAML: {' '.join(str(error).split())}"
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ParameterError(
            f"the parameters file {path} holds {type(content).__name__}; "
            "expected stages and their parameters, such as 'registration: {model: rigid}'"
        )
    return content


def with_network(network: str) -> Overrides:
    """Return overrides that segment cells and nuclei with one network."""
    return for_each_network({"network": network})


def for_each_network(values: Mapping[str, Any]) -> Overrides:
    """Return overrides that give these values to every group of parameters that names a segmentation network."""
    overrides: Overrides = {}
    for path in _groups_with_network(PipelineParameters()):
        group: Overrides = dict(values)
        for name in reversed(path):
            group = {name: group}
        overrides = merge(overrides, group)
    return overrides


def network_parameter(kind: str) -> str:
    """Return the full name of the parameter that names the network of a kind, as ``--set`` takes it."""
    (path,) = [path for path in _groups_with_network(PipelineParameters()) if path[-1] == kind]
    return ".".join([*path, "network"])


def _groups_with_network(group: BaseModel, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in type(group).model_fields:
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            yield from _groups_with_network(value, (*path, name))
        elif name == "network":
            yield path
