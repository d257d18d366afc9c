"""The order of the stages."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from flows.preflight import check_before_start
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.store.layout import OBJECT_KINDS
from tasks.denoise import denoise
from tasks.ingest import ingest
from tasks.nanoparticles import segment_nanoparticles
from tasks.output import write_output
from tasks.policies import acquisition_locks, bound
from tasks.register import register
from tasks.segment import predict_flows, segment_masks
from tasks.shape import measure_shape
from tasks.space import measure_space


def run_pipeline(
    acquisition: Acquisition, parameters: PipelineParameters, execution: ExecutionSettings
) -> dict[str, ArtifactRef]:
    """Run every stage in its order, one after another; returns the main output of each."""
    found = check_before_start(acquisition, parameters, execution)
    with one_run_at_a_time(acquisition):
        done: dict[str, ArtifactRef] = {}
        raw = bound(ingest, acquisition)(acquisition, found.source_digest, parameters.ingest, execution)
        denoised = bound(denoise, acquisition)(raw, found.model_digest, parameters.denoising, execution)
        image = bound(register, acquisition)(denoised, raw, parameters.registration, execution)
        done |= {"ingest": raw, "denoise": denoised, "register": image}
        for kind in OBJECT_KINDS:
            own = getattr(parameters, kind)
            flows = bound(predict_flows, acquisition)(
                kind, image, found.network_digests[kind], own, execution
            )
            labels = bound(segment_masks, acquisition)(kind, flows, image, own, execution)
            shape = bound(measure_shape, acquisition)(kind, labels, parameters.shape, execution)
            done |= {f"flows_{kind}": flows, kind: labels, f"shape_{kind}": shape}
        done["nanoparticles"] = bound(segment_nanoparticles, acquisition)(
            image, raw, parameters.nanoparticles, execution
        )
        done["space"] = bound(measure_space, acquisition)(
            done["cells"], done["nuclei"], done["nanoparticles"], parameters.spatial, execution
        )
        done["output"] = bound(write_output, acquisition)(acquisition, done, parameters, execution)
        return done


@contextmanager
def one_run_at_a_time(acquisition: Acquisition) -> Iterator[None]:
    """Hold the acquisition: a run with other parameters would replace arrays that this one is reading."""
    locks, holder = acquisition_locks(acquisition), uuid4().hex
    locks.acquire_lock("acquisition", holder)
    try:
        yield
    finally:
        locks.release_lock("acquisition", holder)
