"""Steps that a run has to compute: those without results, and those whose discarded arrays are needed for these."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spherovem_core.references import ArtifactRef
from spherovem_core.store.discarded import DiscardedArray, find_discarded, want_discarded
from spherovem_core.store.layout import Layout
from spherovem_core.workflow.artifacts import find_artifact
from spherovem_core.workflow.outputs import ArrayOutput, Output, automatic_output
from spherovem_core.workflow.pipeline import Pipeline
from spherovem_core.workflow.plan import StepPlan, plan_step
from spherovem_core.workflow.step import RunRequest, Step

External = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Demand:
    """Steps that a run has to compute.

    Attributes
    ----------
    plans
        Plan of each step of the run, in order.
    absent
        Names of the steps whose results are not on disk.
    wanted
        Discarded arrays from which absent ones are computed, by the name of the step that writes them; also of steps before the
        first step of the run.
    """

    plans: tuple[StepPlan[Any], ...]
    absent: frozenset[str]
    wanted: Mapping[str, tuple[DiscardedArray, ...]] = field(default_factory=dict)

    @property
    def todo(self) -> list[StepPlan[Any]]:
        """Plans of the steps of the run that are to be computed."""
        return [plan for plan in self.plans if plan.step.name in self.absent or plan.step.name in self.wanted]


def find_demand(
    pipeline: Pipeline,
    request: RunRequest,
    steps: Sequence[Step[Any]],
    external: External,
    taken: Mapping[str, ArtifactRef],
) -> Demand:
    """Plan the steps of a run; digests are known before anything is computed.

    Parameters
    ----------
    steps
        Steps of the run, in order.
    external
        Digests of what each of them reads outside the results folder, by the step's name.
    taken
        Main outputs of the steps before, by name.
    """
    done, plans, absent, replaced = dict(taken), [], set[str](), set[str]()
    for step in steps:
        plan = plan_step(pipeline, step, request, external[step.name], done)
        # An image that is computed again takes the labels drawn on it with it.
        found = None if any(lies_on(output, replaced) for output in step.outputs) else plan.find()
        if found is None:
            absent.add(step.name)
            replaced |= {output.group for output in step.outputs if isinstance(output, ArrayOutput)}
        done[step.name] = found or plan.expected
        plans.append(plan)
    layout = Layout(request.acquisition.folder.absolute())
    return Demand(tuple(plans), frozenset(absent), _wanted(layout, pipeline, plans, absent, replaced))


def _wanted(
    layout: Layout,
    pipeline: Pipeline,
    plans: Sequence[StepPlan[Any]],
    absent: set[str],
    replaced: set[str],
) -> dict[str, tuple[DiscardedArray, ...]]:
    by_name, wanted = {plan.step.name: plan for plan in plans}, dict[str, tuple[DiscardedArray, ...]]()
    for step in reversed(pipeline.steps):
        is_computed_again = step.name in wanted
        if step.name not in absent and not is_computed_again:
            continue
        plan = by_name.get(step.name)
        # Corrected labels are made from the automatic ones, if these are there.
        lost = any(lies_on(output, replaced) for output in step.outputs)
        if plan is not None and not is_computed_again and not lost and is_computed(plan.automatic):
            continue
        for output in step.inputs:
            if not isinstance(output, ArrayOutput) or output in step.lazy:
                continue
            found = find_discarded(layout, output.group)
            producer = pipeline.producer(output).name
            if found is not None and producer not in absent:
                wanted[producer] = (*wanted.get(producer, ()), found)
    return wanted


def lies_on(output: Output, groups: set[str]) -> bool:
    """Return whether an output is an array in one of some groups, such as labels on an image."""
    return isinstance(output, ArrayOutput) and any(output.group.startswith(f"{group}/") for group in groups)


def is_computed(plan: StepPlan[Any]) -> bool:
    """Return whether all outputs of a plan without corrections are on disk, in their places or beside corrected ones."""
    for output in plan.step.outputs:
        places = [output]
        if output in plan.step.corrected:
            places.append(automatic_output(output))
        if not any(find_artifact(plan.layout, place, plan.digest) for place in places):
            return False
    return True


def request_arrays(layout: Layout, wanted: Mapping[str, Sequence[DiscardedArray]]) -> None:
    """Note the discarded arrays that a run computes again, so that their steps do not count as done until they are there."""
    for arrays in wanted.values():
        for found in arrays:
            want_discarded(layout, found)


def lazy_arrays(layout: Layout, pipeline: Pipeline, step: Step[Any]) -> dict[str, tuple[DiscardedArray, ...]]:
    """Return the discarded arrays that a step reads only if it has to, by the name of the step that writes them."""
    found = {output: find_discarded(layout, output.group) for output in step.lazy}
    return {pipeline.producer(output).name: (left,) for output, left in found.items() if left is not None}


def withdraw_requests(layout: Layout, pipeline: Pipeline) -> None:
    """Let discarded arrays that a killed run was to compute again count as done; the next demand asks for them if need be."""
    for found in requested_arrays(layout, pipeline):
        want_discarded(layout, found, is_wanted=False)


def requested_arrays(layout: Layout, pipeline: Pipeline) -> Iterator[DiscardedArray]:
    """Yield the discarded arrays that are to be computed again."""
    for step in pipeline.steps:
        for output in step.transient:
            found = find_discarded(layout, output.group)
            if found is not None and found.is_wanted:
                yield found
