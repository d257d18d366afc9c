"""The steps of the pipeline in their order, and what each of them is given."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prefect import Task

from flows.preflight import Preflight
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest
from spherovem_core.stages import StageName
from spherovem_core.store.layout import OBJECT_KINDS, ObjectKind
from tasks import denoising, ingest, nanoparticles, output, registration, segmentation, shape, spatial
from tasks.plans import Stage, StagePlan

Done = Mapping[str, ArtifactRef]


@dataclass(frozen=True)
class RunInputs:
    """What a run is given: the same for all of its steps. `acquisition` has the results folder of its region."""

    acquisition: Acquisition
    found: Preflight
    parameters: PipelineParameters
    execution: ExecutionSettings
    region: RegionOfInterest = WHOLE


@dataclass(frozen=True)
class Step:
    """One task of the pipeline.

    Attributes
    ----------
    name
        Stage it belongs to.
    key
        Name of its main output among those of the run.
    task, stage
        What computes it and how it is fingerprinted.
    choose
        Picks its arguments from the run's inputs and the outputs of the steps before.
    """

    name: StageName
    key: str
    task: Task[..., ArtifactRef]
    stage: Stage
    choose: Callable[[RunInputs, Done], dict[str, Any]]

    @property
    def kind(self) -> ObjectKind | None:
        """What it is about, where there is one step for cells and one for nuclei."""
        return next((kind for kind in OBJECT_KINDS if self.key.rpartition("_")[2] == kind), None)

    def arguments(self, run: RunInputs, done: Done) -> dict[str, Any]:
        """Arguments of the task, in the order of its signature: fingerprints count inputs in that order."""
        chosen = {**self.choose(run, done), "execution": run.execution}
        return dict(inspect.signature(self.task.fn).bind(**chosen).arguments)

    def plan(self, run: RunInputs, done: Done) -> StagePlan:
        """Fingerprint and outputs of the step."""
        return self.stage.plan(self.arguments(run, done))


def _flows(kind: ObjectKind) -> Step:
    return Step(
        "flows",
        f"flows_{kind}",
        segmentation.predict_flows,
        segmentation.FLOWS,
        lambda run, done: {
            "kind": kind,
            "registered": done["register"],
            "network_digest": run.found.network_digests.get(kind, ""),
            "parameters": getattr(run.parameters, kind),
        },
    )


def _masks(kind: ObjectKind) -> Step:
    return Step(
        "masks",
        kind,
        segmentation.segment_masks,
        segmentation.MASKS,
        lambda run, done: {
            "kind": kind,
            "flows": done[f"flows_{kind}"],
            "registered": done["register"],
            "parameters": getattr(run.parameters, kind),
        },
    )


def _shape(kind: ObjectKind) -> Step:
    return Step(
        "shape",
        f"shape_{kind}",
        shape.measure_shape,
        shape.STAGE,
        lambda run, done: {"kind": kind, "labels": done[kind], "parameters": run.parameters.shape},
    )


STEPS: tuple[Step, ...] = (
    Step(
        "ingest",
        "ingest",
        ingest.ingest,
        ingest.STAGE,
        lambda run, done: {
            "acquisition": run.acquisition,
            "source_digest": run.found.source_digest,
            "parameters": run.parameters.ingest,
            "region": run.region,
        },
    ),
    Step(
        "denoise",
        "denoise",
        denoising.denoise,
        denoising.STAGE,
        lambda run, done: {
            "raw": done["ingest"],
            "model_digest": run.found.model_digest,
            "parameters": run.parameters.denoising,
        },
    ),
    Step(
        "register",
        "register",
        registration.register,
        registration.STAGE,
        lambda run, done: {
            "denoised": done["denoise"],
            "raw": done["ingest"],
            "parameters": run.parameters.registration,
        },
    ),
    *map(_flows, OBJECT_KINDS),
    *map(_masks, OBJECT_KINDS),
    Step(
        "nanoparticles",
        "nanoparticles",
        nanoparticles.segment_nanoparticles,
        nanoparticles.STAGE,
        lambda run, done: {
            "registered": done["register"],
            "raw": done["ingest"],
            "parameters": run.parameters.nanoparticles,
        },
    ),
    *map(_shape, OBJECT_KINDS),
    Step(
        "space",
        "space",
        spatial.measure_space,
        spatial.STAGE,
        lambda run, done: {
            **{name: done[name] for name in (*OBJECT_KINDS, "nanoparticles")},
            "parameters": run.parameters.spatial,
        },
    ),
    Step(
        "output",
        "output",
        output.write_output,
        output.STAGE,
        lambda run, done: {
            "acquisition": run.acquisition,
            "artifacts": dict(done),
            "parameters": run.parameters,
        },
    ),
)
