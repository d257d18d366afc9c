"""History entries of format 1, and the digests that their steps have today."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from spherovem_core.migration.renames import rename_groups, rename_parameters, step_name
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import canonical_json, step_digest
from spherovem_core.region_of_interest import RegionOfInterest
from spherovem_core.registry import PIPELINE
from spherovem_core.workflow import Pipeline, Step

Entry = Mapping[str, Any]
FLOW_BLOCKS = (256, 64)
"""Side and halo of the blocks of flows in format 1, unless its parameters said otherwise."""

PARTS = ("packages", "device", "seconds", "peak_memory_bytes", "host", "finished")


def digest_of_format_1(entry: Entry) -> str:
    """Compute the digest that format 1 gave a result, from its history entry."""
    parameters = {name: canonical_json(value) for name, value in entry["parameters"].items()}
    parts = [entry["stage"], str(entry["version"]), canonical_json(parameters), *entry["inputs"]]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_known(entry: Any) -> bool:
    """Return whether a history entry is one of format 1 whose parameters are valid today; a damaged one is not."""
    try:
        name = step_name(entry["stage"], entry["parameters"])
        _own_parameters(PIPELINE.step(name), entry["parameters"]["parameters"])
        return all(isinstance(digest, str) for digest in entry["inputs"]) and "version" in entry
    except (KeyError, TypeError, AttributeError, ValidationError):
        return False


@dataclass
class Digests:
    """Digests of format 1 and their digests today.

    Attributes
    ----------
    pipeline
        Today's steps.
    new
        Today's digest by that of format 1.
    sources
        Today's digest of the acquired files by that of format 1.
    """

    pipeline: Pipeline
    new: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Note today's digest of a step's result, by its history entry; those of its inputs must be known already."""
        converted = self.convert(entry)
        digest = step_digest(
            converted["step"],
            converted["version"],
            converted["parameters"],
            converted["inputs"],
            converted["external"],
        )
        self.new[digest_of_format_1(entry)] = digest

    def convert(self, entry: Entry) -> dict[str, Any]:
        """Return a history entry as this version writes it."""
        given = entry["parameters"]
        step = self.pipeline.step(step_name(entry["stage"], given))
        return {
            "stage": step.stage,
            "step": step.name,
            "version": entry["version"],
            "parameters": _own_parameters(step, given["parameters"]),
            "external": self._external(given),
            "inputs": [self.new.get(digest, digest) for digest in entry["inputs"]],
            **{name: entry[name] for name in PARTS if name in entry},
        }

    def _external(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Return the digests of the inputs of a step outside the results folder."""
        external = {}
        if "source_digest" in given:
            old = given["source_digest"]
            external["source"] = self.sources.get(old, old)
        for name in ("model", "network"):
            if given.get(name) is not None:
                external[name] = given[name]
        if "region" in given:
            stops = {name: value or None for name, value in given["region"].items() if name.endswith("stop")}
            external["region"] = RegionOfInterest.model_validate({**given["region"], **stops}).suffix
        values = given["parameters"]
        blocks = values.get("block_voxels"), values.get("block_halo_voxels")
        if "flow_spacing_nm" in values and blocks != FLOW_BLOCKS:
            # Flows of other blocks are other flows.
            external["blocks"] = f"{blocks[0]}, halo {blocks[1]}"
        return external


def _own_parameters(step: Step[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a step as its plan gives them today."""
    renamed = rename_groups(values) if step.reads_everything else rename_parameters(values, step.stage)
    model = type(step.parameters(PipelineParameters()))
    known = {name: value for name, value in renamed.items() if name in model.model_fields}
    return step.own_parameters(model.model_validate(known))
