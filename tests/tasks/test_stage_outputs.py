"""What the status of an acquisition is told from is what the stages write."""

from spherovem_core.store.layout import OBJECT_KINDS
from spherovem_core.store.states import stage_outputs
from tasks import denoising, ingest, nanoparticles, output, registration, segmentation, shape, spatial
from tasks.plans import Stage

BY_KIND: tuple[Stage, ...] = (segmentation.FLOWS, segmentation.MASKS, shape.STAGE)
ONCE: tuple[Stage, ...] = (
    ingest.STAGE,
    denoising.STAGE,
    registration.STAGE,
    nanoparticles.STAGE,
    spatial.STAGE,
    output.STAGE,
)


def test_every_stage_with_every_output() -> None:
    written = {stage.title({}): stage.outputs for stage in ONCE}
    for stage in BY_KIND:
        for kind in OBJECT_KINDS:
            written[stage.title({"kind": kind})] = tuple(path.format(kind=kind) for path in stage.outputs)
    assert {stage.title: stage.outputs for stage in stage_outputs()} == written


def test_a_stage_comes_after_those_that_it_takes_from() -> None:
    titles = [stage.title for stage in stage_outputs()]
    for before, after in (
        ("ingest", "denoise"),
        ("denoise", "register"),
        ("register", "predict_flows cells"),
        ("predict_flows nuclei", "segment_masks nuclei"),
        ("segment_masks cells", "measure_shape cells"),
        ("register", "segment_nanoparticles"),
        ("segment_masks nuclei", "measure_space"),
        ("segment_nanoparticles", "measure_space"),
        ("measure_shape nuclei", "write_output"),
        ("measure_space", "write_output"),
    ):
        assert titles.index(before) < titles.index(after)
