"""Plan of a step: digest and paths of its outputs, known before it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic

from spherovem_core.references import Acquisition, ArtifactRef, step_digest
from spherovem_core.region_of_interest import RegionOfInterest
from spherovem_core.store.layout import Layout
from spherovem_core.workflow.outputs import Output
from spherovem_core.workflow.pipeline import Pipeline
from spherovem_core.workflow.step import JOURNAL, P, RunRequest, Step


@dataclass(frozen=True)
class StepPlan(Generic[P]):
    """One execution of a step.

    Attributes
    ----------
    pipeline
        Pipeline that the step is part of.
    external
        Digests of its inputs outside the results folder.
    inputs
        Main output of each step that it reads from, by the step's name.
    """

    pipeline: Pipeline
    step: Step[P]
    acquisition: Acquisition
    region: RegionOfInterest
    parameters: P
    external: Mapping[str, str]
    inputs: Mapping[str, ArtifactRef]

    @property
    def folder(self) -> Path:
        """Results folder."""
        return self.acquisition.folder.absolute()

    @property
    def layout(self) -> Layout:
        """Paths in the results folder."""
        return Layout(self.folder)

    @property
    def own_parameters(self) -> dict[str, Any]:
        """Parameters that change the result, as JSON; those that `external` covers or that are `omitted` are left out."""
        return self.step.own_parameters(self.parameters)

    @property
    def input_digests(self) -> tuple[str, ...]:
        """Digests of the steps that it reads from."""
        return tuple(reference.digest for reference in self.inputs.values())

    @cached_property
    def digest(self) -> str:
        """Digest of the result."""
        return step_digest(
            self.step.name, self.step.version, self.own_parameters, self.input_digests, self.external
        )

    @property
    def is_corrected(self) -> bool:
        """True if corrections by hand change the result."""
        return JOURNAL in self.external

    @cached_property
    def automatic(self) -> "StepPlan[P]":
        """The plan without corrections."""
        external = {name: digest for name, digest in self.external.items() if name != JOURNAL}
        return replace(self, external=external)

    def digest_of(self, output: Output) -> str:
        """Return the digest of an output: corrections do not change that of all."""
        changed = not self.is_corrected or output in self.step.corrected
        return self.digest if changed else self.automatic.digest

    @property
    def key(self) -> str:
        """Name of its record and lock."""
        return f"{self.step.name}-{self.digest}"

    @property
    def expected(self) -> ArtifactRef:
        """Reference to the main output before it is computed: only its path and digest are known."""
        return ArtifactRef(
            store=str(self.folder),
            path=self.step.main_output.path,
            shape=(),
            dtype="",
            spacing_nm=(0.0, 0.0, 0.0),
            digest=self.digest,
        )

    def find(self) -> ArtifactRef | None:
        """Return the reference to the main output if all outputs are complete on disk, else None.

        Outputs that were computed from tables or labels which hold other values by now do not count.

        Raises
        ------
        ChangedArtifactError
            If an output is not the one that was computed.
        """
        from spherovem_core.workflow.artifacts import find_outputs, replaced_source

        outputs = self.step.outputs
        found = find_outputs(
            self.layout, outputs, self.digest, [self.digest_of(output) for output in outputs]
        )
        return None if found is None or replaced_source(self.layout, outputs) else found


def plan_step(
    pipeline: Pipeline,
    step: Step[P],
    request: RunRequest,
    external: Mapping[str, str],
    done: Mapping[str, ArtifactRef],
) -> StepPlan[P]:
    """Plan a step of a pipeline.

    Parameters
    ----------
    external
        Digests of its inputs outside the results folder.
    done
        Main output of each finished step, by the step's name.
    """
    inputs = {each.name: done[each.name] for each in pipeline.producers(step)}
    parameters = step.parameters(request.parameters)
    return StepPlan(pipeline, step, request.acquisition, request.region, parameters, external, inputs)
