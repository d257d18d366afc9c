"""Digests of steps: which parameter recomputes which step."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from spherovem_core.overrides import in_todays_names
from spherovem_core.parameters import ObjectParameters, PipelineParameters, SegmentationParameters
from spherovem_core.parameters.base import StageParameters
from spherovem_core.references import Acquisition, ArtifactRef, step_digest
from spherovem_core.registry import PIPELINE
from spherovem_core.steps.named_kinds import named_steps
from spherovem_core.workflow import RunRequest, plan_step
from spherovem_core.workflow.grouped_parameters import Declaration, collect_in_groups

REFERENCE = ArtifactRef(
    store="/results/one", path="a", shape=(1,), dtype="uint8", spacing_nm=(50, 10, 10), digest="d"
)
DONE = dict.fromkeys((step.name for step in PIPELINE.steps), REFERENCE)
ACQUISITION = Acquisition(name="one", source=Path("/landing/one"), results_root=Path("/results"))
OTHER: dict[str, Any] = {
    "segmenter": "other",
    "network": "other",
    "flow_spacing_nm": 90.0,
    "planes": "xy",
    "mask_spacing_nm": 90.0,
    "normalise_percentiles": (2.0, 98.0),
    "tile_overlap": 0.2,
    "min_tile_contrast": 0.1,
    "probability_threshold": 1.0,
    "flow_error_threshold": 0.4,
    "mask_dynamics": "cellpose",
    "flow_smoothing": 2.0,
    "curl_free": True,
    "probability_filter": "median",
    "probability_filter_voxels": 3,
    "merge_boundary_strength": 0.1,
    "merge_contact_fraction": 0.3,
    "fill_holes": False,
    "max_truncated_fraction": 0.5,
    "expansion_um": 0.5,
    "merging": "boundary_strength",
    "min_diameter_um": 3.0,
}
FOR_FLOWS = {
    "segmenter",
    "flow_spacing_nm",
    "planes",
    "normalise_percentiles",
    "tile_overlap",
    "min_tile_contrast",
}
FOR_MASKS = set(OTHER) - FOR_FLOWS - {"network"} | {"segmenter"}


def digest(step: str, parameters: PipelineParameters, external: Mapping[str, str] | None = None) -> str:
    request = RunRequest(ACQUISITION, parameters)
    return plan_step(PIPELINE, PIPELINE.step(step), request, external or {}, DONE).digest


def for_nuclei(**values: Any) -> PipelineParameters:
    nuclei = ObjectParameters(**values)
    cells = {"mask_spacing_nm": nuclei.mask_spacing_nm}
    return PipelineParameters(
        segmentation=SegmentationParameters.model_validate({"cells": cells, "nuclei": nuclei})
    )


def test_every_parameter_belongs_to_a_step() -> None:
    assert set(OTHER) == set(ObjectParameters.model_fields)


@pytest.mark.parametrize("name", sorted(OTHER))
def test_a_parameter_recomputes_the_steps_that_read_it(name: str) -> None:
    plain, changed = for_nuclei(), for_nuclei(**{name: OTHER[name]})
    assert (digest("flows_nuclei", changed) != digest("flows_nuclei", plain)) == (name in FOR_FLOWS)
    assert (digest("masks_nuclei", changed) != digest("masks_nuclei", plain)) == (name in FOR_MASKS)
    assert digest("flows_cells", changed) == digest("flows_cells", plain)
    assert digest("output", changed) != digest("output", plain)


def test_parameters_added_later_leave_the_digests_of_earlier_results() -> None:
    plan = plan_step(PIPELINE, PIPELINE.step("ingest"), RunRequest(ACQUISITION, PipelineParameters()), {}, {})
    assert "exclude_slices" not in plan.own_parameters
    excluding = PipelineParameters.model_validate({"ingest": {"exclude_slices": ["3: fold"]}})
    plan = plan_step(PIPELINE, PIPELINE.step("ingest"), RunRequest(ACQUISITION, excluding), {}, {})
    assert plan.own_parameters["exclude_slices"] == ["3: fold"]


FROZEN = Path(__file__).parents[1] / "data" / "digested-parameters.json"
"""Version of each step and the default parameters in its digest.

After a change that is meant: ``PYTHONPATH=. python tests/tasks/test_digests.py``.
"""


EVERY_STEP = (*PIPELINE.steps, *named_steps("mitochondria"))


def digested_parameters() -> dict[str, Any]:
    return {
        step.name: {
            "version": step.version,
            "parameters": step.own_parameters(step.parameters(PipelineParameters())),
        }
        for step in EVERY_STEP
    }


@pytest.mark.parametrize("name", [step.name for step in EVERY_STEP])
def test_parameters_in_the_digest_of_a_step_change_with_its_version_alone(name: str) -> None:
    frozen, now = json.loads(FROZEN.read_text())[name], digested_parameters()[name]
    assert now["version"] == frozen["version"], f"write {FROZEN.name} again"
    assert now["parameters"] == frozen["parameters"], (
        f"all results of the step {name} would be computed again: name a new parameter with its value of before in the step's "
        "`omitted`, a renamed one in `digest_names`, a removed one in `removed`; if results change, raise the version and run "
        f"{__file__}"
    )


def test_the_digest_of_given_values_stays() -> None:
    given = step_digest("ingest", 3, {"a": [1.5, None], "b": {"c": "µ"}}, ["x", "y"], {"source": "z"})
    assert given == "f6bf36e8f9fe538fbcdaf85fc84a5adf283e034143d0a4bc7d8b08a6f01c55aa"


def test_no_digest_of_any_step_holds_what_is_omitted() -> None:
    """A step that reads the parameters of all stages, too: the report was written again for each new parameter."""

    def names(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for name, value in values.items():
            yield from names(value, (*path, name)) if isinstance(value, dict) else [(*path, name)]

    omitted, output = set(), PIPELINE.step("output")
    for step in PIPELINE.steps[:-1]:
        own = step.own_parameters(step.parameters(PipelineParameters()))
        assert not own.keys() & step.omitted.keys()
        group = (step.stage, step.kind) if step.stage == "segmentation" else (step.stage,)
        omitted |= {(*map(str, group), name) for name in step.omitted}
    assert ("ingest", "exclude_slices") in omitted
    assert ("segmentation", "cells", "planes") in omitted
    assert not omitted & set(names(output.own_parameters(PipelineParameters())))


def test_steps_that_omit_different_values_of_a_parameter_are_refused() -> None:
    ingest = PIPELINE.step("ingest")
    with pytest.raises(ValueError, match="`omitted` of step ingest has other values"):
        collect_in_groups(
            [ingest, replace(ingest, omitted={"absent_chunks": "fill"})], PipelineParameters(), "omitted"
        )


def test_a_renamed_and_a_removed_parameter_leave_the_digest() -> None:
    class Earlier(StageParameters):
        blank_share: float = 0.5
        smoothing: int = 3
        size: int = 7

    class Today(StageParameters):
        blank_fraction: float = 0.5
        size: int = 7
        novelty: str = "off"

    earlier = replace(PIPELINE.step("ingest"), omitted={})
    today = replace(
        earlier,
        digest_names={"blank_fraction": "blank_share"},
        removed={"smoothing": 3},
        omitted={"novelty": "off"},
    )
    assert today.own_parameters(Today()) == earlier.own_parameters(Earlier())
    assert today.own_parameters(Today(novelty="on")) != earlier.own_parameters(Earlier())
    assert today.own_parameters(Today()) != earlier.own_parameters(Earlier(smoothing=4))
    assert today.own_parameters(Today(blank_fraction=0.4)) == earlier.own_parameters(Earlier(blank_share=0.4))
    assert in_todays_names(today.own_parameters(Today()), "ingest")["blank_fraction"] == 0.5


class EarlierMasks(StageParameters):
    hole_share: float = 0.1
    dynamics: str = "fast"


class TodaysMasks(StageParameters):
    hole_fraction: float = 0.1
    novelty: str = "off"


class EarlierKinds(StageParameters):
    cells: EarlierMasks = EarlierMasks()
    nuclei: EarlierMasks = EarlierMasks(hole_share=0.2)


class TodaysKinds(StageParameters):
    cells: TodaysMasks = TodaysMasks()
    nuclei: TodaysMasks = TodaysMasks(hole_fraction=0.2)


class EarlierRun(StageParameters):
    segmentation: EarlierKinds = EarlierKinds()


class TodaysRun(StageParameters):
    segmentation: TodaysKinds = TodaysKinds()


def test_the_step_that_reads_all_parameters_follows_renamed_and_removed_ones() -> None:
    """One that was renamed or removed in another stage made it compute tables and report again."""
    kinds = [
        replace(
            PIPELINE.step(f"masks_{kind}"),
            omitted={"novelty": "off"},
            digest_names={"hole_fraction": "hole_share"},
            removed={"dynamics": "fast"},
        )
        for kind in ("cells", "nuclei")
    ]
    earlier = replace(PIPELINE.step("output"), omitted={}, digest_names={}, removed={})
    today = replace(
        earlier,
        omitted=collect_in_groups(kinds, TodaysRun(), "omitted"),
        digest_names=collect_in_groups(kinds, TodaysRun(), "digest_names"),
        removed=collect_in_groups(kinds, TodaysRun(), "removed"),
    )
    assert today.own_parameters(TodaysRun()) == earlier.own_parameters(EarlierRun())
    changed_cells = EarlierKinds(cells=EarlierMasks(dynamics="slow"))
    assert today.own_parameters(TodaysRun()) != earlier.own_parameters(EarlierRun(segmentation=changed_cells))
    assert today.own_parameters(TodaysRun(segmentation=TodaysKinds(cells=TodaysMasks(novelty="on")))) != (
        today.own_parameters(TodaysRun())
    )


@pytest.mark.parametrize("declaration", ["omitted", "digest_names", "removed"])
def test_the_last_step_collects_what_all_steps_declare(declaration: Declaration) -> None:
    collected = collect_in_groups(PIPELINE.steps[:-1], PipelineParameters(), declaration)
    assert getattr(PIPELINE.step("output"), declaration) == collected


def test_other_weights_under_the_same_name_recompute_the_flows() -> None:
    plain = PipelineParameters()
    assert digest("flows_cells", plain, {"network": "new"}) != digest(
        "flows_cells", plain, {"network": "old"}
    )


def test_cells_and_nuclei_have_records_of_their_own() -> None:
    parameters = for_nuclei(**PipelineParameters().segmentation.cells.model_dump())
    assert digest("flows_cells", parameters) != digest("flows_nuclei", parameters)
    assert digest("masks_cells", parameters) != digest("masks_nuclei", parameters)
    assert digest("shape_cells", parameters) != digest("shape_nuclei", parameters)


def test_a_denoising_model_counts_by_its_content_not_its_path() -> None:
    def with_model(path: str, content: str) -> str:
        parameters = PipelineParameters.model_validate({"denoising": {"model": path}})
        return digest("denoising", parameters, {"model": content})

    assert with_model("/a.ckpt", "x") == with_model("/b.ckpt", "x")
    assert with_model("/a.ckpt", "x") != with_model("/a.ckpt", "y")


def leaves(model: BaseModel, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every parameter."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name)


def other_values(value: Any) -> list[Any]:
    """Return values of which at least one is valid and differs from a default."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value + 8, value + 0.01, value * 0.9 + 1e-3, value - 0.01]
    if isinstance(value, str):
        words = "n2v2 rigid elastic none median cellpose linear vertical first chain dark interpolate boundary_strength fill xy"
        return [*words.split(), "cells", "other"]
    if value is None:
        return [1.0, 2, "other", (50.0, 10.0, 10.0), (10.0, 50.0)]
    if value == ():
        return [("12-18: charging",)]
    return [tuple(each * 0.9 for each in value), (1, 2)]


def changed(path: tuple[str, ...]) -> PipelineParameters:
    """Return parameters that differ in one value; of masks, whose grid is shared, in both kinds."""
    paths = (
        {path, tuple({"cells": "nuclei", "nuclei": "cells"}.get(name, name) for name in path)}
        if "mask" in path[-1]
        else {path}
    )
    for value in other_values(value_at(PipelineParameters(), path)):
        document = PipelineParameters().model_dump()
        for each in paths:
            group = document
            for name in each[:-1]:
                group = group[name]
            group[each[-1]] = value
        with contextlib.suppress(ValidationError):
            parameters = PipelineParameters.model_validate(document)
            if parameters != PipelineParameters():
                return parameters
    raise AssertionError(f"no other value for {path}")


def value_at(model: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        model = getattr(model, name)
    return model


def all_digests(parameters: PipelineParameters) -> dict[str, str]:
    """Digests of all steps, each from those before."""
    request, done = RunRequest(ACQUISITION, parameters), {}
    digests = {}
    for step in PIPELINE.steps:
        plan = plan_step(PIPELINE, step, request, {}, done)
        done[step.name], digests[step.name] = plan.expected, plan.digest
    return digests


EXTERNAL = {
    ("denoising", "model"),
    ("segmentation", "cells", "network"),
    ("segmentation", "nuclei", "network"),
    ("nanoparticles", "labels"),
}
# Kinds with a name of their own have steps of their own.
NAMED = ("segmentation", "others")


@pytest.mark.parametrize(
    "path", [path for path in leaves(PipelineParameters()) if path != NAMED], ids=".".join
)
def test_every_parameter_counts_in_its_stage_and_later_and_nowhere_before(path: tuple[str, ...]) -> None:
    before, after = all_digests(PipelineParameters()), all_digests(changed(path))
    differing = [name for name in before if before[name] != after[name]]
    assert differing[-1] == "output"
    if path in EXTERNAL:
        # The digest of the file counts, not its path; the output states the path.
        assert differing == ["output"]
    else:
        assert PIPELINE.step(differing[0]).stage == path[0]


if __name__ == "__main__":
    FROZEN.write_text(json.dumps(digested_parameters(), indent=1) + "\n")
