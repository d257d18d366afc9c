"""Stage 2, denoising: noise removed by a network that learns from the acquisition itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spherovem_core.errors import MissingNetworkError
from spherovem_core.parameters import DenoisingParameters, PipelineParameters
from spherovem_core.parameters.denoising import REPAIRS_OFF, repairs_asked_for
from spherovem_core.references import step_digest
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.ingest import RAW, SLICES, filled_slices
from spherovem_core.store import Ledger, StoredArray
from spherovem_core.store.layout import DENOISED as DENOISED_GROUP
from spherovem_core.workflow import (
    ArrayOutput,
    Cost,
    GpuLibrary,
    OutputSize,
    Quality,
    RunRequest,
    SourceVolume,
    Step,
    TableOutput,
)
from spherovem_core.workflow.cost import MILLION
from spherovem_core.workflow.run import StepRun

if TYPE_CHECKING:
    from spherovem_core.repairs import RepairedStack

DENOISED = ArrayOutput(
    DENOISED_GROUP,
    "image",
    "z y x",
    ("uint8",),
    "grey value",
    "Denoised slices; 0 and 255 are two percentiles of the denoised stack, and its attributes hold the map between them.",
)
RESIDUALS = TableOutput("denoising", "a slice of the acquisition")

TRAINING_VERSION = 1
"""Raised whenever the training would give another model."""
REPAIRS_VERSION = "3"
"""Raised whenever repairs would give other slices."""
STORED_FRACTION = 0.84
"""Bytes on disk per byte before compression, pyramid included: those of the demo's phantom."""
MODEL_BYTES = 1_500_000
"""Bytes of a model and its records; the demo's took 1.1 MB."""
TRAINING_PASSES = 6
"""A training step costs about six predictions: forward, backward through data and weights, on small patches with their masks."""
GIVEN, GIVEN_SECONDS = "as given", 0.02
"""Variant without denoising, and its seconds per million voxels: slices are read and written."""
CHANNELS = 32
"""Channels of the network whose pixels count once; the cost of a convolution grows with their square."""


def _model(parameters: PipelineParameters) -> str | None:
    """Return the model that the user gave; None where there is none or nothing is denoised."""
    own = parameters.denoising
    return None if own.algorithm == "none" else own.model


def _external(request: RunRequest) -> Mapping[str, str]:
    """Return the digest of the model that the user gave, where there is one, and the version of the repairs, where any is on.

    A version of their own, so that results without repairs stay when repairs change.

    Raises
    ------
    MissingNetworkError
        If its file is not there.
    """
    from spherovem_core.utils.digests import file_digest

    repairs = {"repairs": REPAIRS_VERSION} if repairs_asked_for(request.parameters.denoising) else {}
    model = _model(request.parameters)
    if model is None:
        return repairs
    if not Path(model).is_file():
        raise MissingNetworkError(
            f"denoising.model names {model}, which is not there; give a CAREamics checkpoint, or leave it empty to train one"
        )
    return repairs | {"model": file_digest(Path(model))}


def _check(request: RunRequest, external: Mapping[str, str]) -> None:
    """Load the model that the user gave once before the acquisition is read."""
    from spherovem_core.denoising.trained_model import load_model

    model = _model(request.parameters)
    if model is not None:
        load_model(model, "cpu")


def _take_given(run: StepRun[DenoisingParameters]) -> Quality:
    """Keep slices that are denoised already."""
    from spherovem_core.denoising import write_given

    raw, bad, ledger = run.open(RAW), filled_slices(run), run.ledger()
    writer = run.writer(DENOISED, raw.shape, "uint8", raw.spacing_nm, by_slice=True)
    source, repairs = _repaired(raw, run, bad, ledger)
    slices, grey_map = write_given(source, writer, run.parameters, run.execution, bad, ledger)
    run.write_table(RESIDUALS, slices)
    clipped = float(slices["clipped_fraction"].mean())
    sample = {"low": grey_map.low, "high": grey_map.high, "grey_map": grey_map.model_dump(mode="json")}
    run.finish(
        writer, denoising={"algorithm": "none", "clipped_fraction": clipped, "sample": sample, **repairs}
    )
    figures = {
        "method": "none: denoised as given",
        "grey values that become 0 and 255": f"{grey_map.low:g}, {grey_map.high:g}",
        "fraction of voxels outside the 8-bit range": clipped,
        **_repair_figures(repairs),
    }
    return Quality("Slices taken as denoised", figures, DENOISED, "Middle slice")


def _compute(run: StepRun[DenoisingParameters]) -> Quality:
    import numpy as np
    import pandas as pd

    from spherovem_core.denoising import denoise_stack, obtain_model

    if run.parameters.algorithm == "none":
        return _take_given(run)
    raw, parameters = run.open(RAW), run.parameters
    bad, ledger = filled_slices(run), run.ledger()
    source, repairs = _repaired(raw, run, bad, ledger)
    model = obtain_model(source, _model_folder(run), parameters, run.execution, bad)
    writer = run.writer(DENOISED, raw.shape, "uint8", raw.spacing_nm, by_slice=True)
    report = denoise_stack(source, writer, model, parameters, run.execution, bad, ledger)
    slices = pd.DataFrame([figures.model_dump() for figures in report.slices])
    run.write_table(RESIDUALS, slices)
    loss = {name: [epoch[name] for epoch in report.loss] for name in ("training", "validation")}
    found = report.model_dump(mode="json", exclude={"slices", "loss"})
    run.finish(writer, denoising={**found, "loss": loss, "model": model.digest, **repairs})
    noise = report.sample.measured
    middle = np.array([(report.sample.low + report.sample.high) / 2], np.float32)
    figures = {
        "method": report.algorithm,
        "measured noise, standard deviation (grey values)": float(
            np.sqrt(noise.variance.variance(middle)[0])
        ),
        "correlation of the noise, 1 pixel along x": noise.correlation["x"][0],
        "correlation of the noise, 1 pixel along y": noise.correlation["y"][0],
        "residual, standard deviation (grey values)": float(slices["residual_std"].median()),
        "fraction of voxels outside the 8-bit range": report.clipped_fraction,
        "epochs": len(report.loss),
        **_repair_figures(repairs),
    }
    return Quality("Noise that was removed", figures, DENOISED, "Middle slice without noise")


def _repaired(
    raw: StoredArray, run: StepRun[DenoisingParameters], bad: list[int], ledger: Ledger
) -> tuple["StoredArray | RepairedStack", dict[str, Any]]:
    """Return the slices with the repairs that were asked for, and what is recorded of these; the raw image stays as acquired."""
    from spherovem_core.repairs import RepairedStack, estimate_repairs

    if not repairs_asked_for(run.parameters):
        return raw, {}
    repairs = estimate_repairs(raw, run.parameters, bad, ledger)
    source = RepairedStack(raw, repairs, bad) if repairs.changes else raw
    return source, {"repairs": repairs.model_dump(mode="json")}


def _repair_figures(recorded: Mapping[str, Any]) -> dict[str, str]:
    from spherovem_core.repairs import Repairs

    notes = Repairs.model_validate(recorded.get("repairs", {})).notes
    return {f"repair of the {name}": note for name, note in notes.items()}


def _model_folder(run: StepRun[DenoisingParameters]) -> Path:
    """Return the folder of the model, named by all that the training depends on."""
    from spherovem_core.denoising import training_parameters

    own = training_parameters(run.parameters)
    repairs = {name: version for name, version in run.plan.external.items() if name == "repairs"}
    digest = step_digest("n2v", TRAINING_VERSION, own, [run.reference(RAW).digest], repairs)
    return run.layout.models / f"n2v-{digest[:16]}"


def _size(volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    more = 0 if parameters.denoising.algorithm == "none" else MODEL_BYTES
    return OutputSize.compressed(volume.pyramid_voxels, STORED_FRACTION, more=more)


def _work(volume: SourceVolume, parameters: PipelineParameters) -> float:
    """Return the millions of pixels of training and prediction, as predictions of a network of 32 channels."""
    own = parameters.denoising
    if own.algorithm == "none":
        return volume.voxels / MILLION
    pixels = own.training_slices * own.patches_per_slice * own.patch_size**2
    training = 0.0 if own.model else TRAINING_PASSES * own.epochs * pixels / MILLION
    return (training + volume.voxels / MILLION) * (own.network_channels / CHANNELS) ** 2


def _variant(parameters: PipelineParameters) -> str:
    return GIVEN if parameters.denoising.algorithm == "none" else ""


def _gpu(parameters: DenoisingParameters) -> GpuLibrary | None:
    return None if parameters.algorithm == "none" else "torch"


def _chapter() -> Chapter:
    from spherovem_core.denoising.chapter import denoising_section, denoising_warnings, look_at_denoised

    return Chapter("Denoising", denoising_section, denoising_warnings, look_at_denoised)


DENOISING = Step(
    name="denoising",
    stage="denoising",
    version=2,
    parameters=lambda parameters: parameters.denoising,
    inputs=(RAW, SLICES),
    outputs=(DENOISED, RESIDUALS),
    compute=_compute,
    cost=Cost(_work, _size, variant=_variant, seconds={"": 0.75, GIVEN: GIVEN_SECONDS}, fixed_seconds=1.0),
    external=_external,
    check=_check,
    external_parameters=frozenset({"model"}),
    omitted=REPAIRS_OFF,
    gpu_library=_gpu,
    ledger="denoising",
    chapter=_chapter,
    transient=(DENOISED,),
)
STEPS = (DENOISING,)
