"""What can be found wrong before the first stage is found wrong before the first stage."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spherovem_core.errors import IncompleteArtifactError, MissingNetworkError, ParameterError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.stages import STAGE_NAMES, StageName
from spherovem_core.store.layout import OBJECT_KINDS, Layout, ObjectKind
from tasks.devices import check_device


@dataclass(frozen=True)
class Preflight:
    """Fingerprints of what comes from outside the results folder; empty where the run does not look at it.

    Attributes
    ----------
    source_digest
        Of the acquired files.
    model_digest
        Of the denoising model given by path; None when one is trained.
    network_digests
        Of the segmentation networks, by kind.
    """

    source_digest: str = ""
    model_digest: str | None = None
    network_digests: Mapping[ObjectKind, str] = field(default_factory=dict)


def check_before_start(
    acquisition: Acquisition,
    parameters: PipelineParameters,
    execution: ExecutionSettings,
    stages: Collection[StageName] = STAGE_NAMES,
) -> Preflight:
    """Look at source, networks, device and results folder, in this order, so that a bad source makes no folder.

    What only stages outside of `stages` need is not looked at.

    Raises
    ------
    SpheroVemError
        The first thing that would stop the run later.
    """
    from spherovem_core.ingest import source_digest
    from spherovem_core.segmentation import network_digest

    source = source_digest(acquisition.source) if "ingest" in stages else _no_source(acquisition)
    _check_mask_spacings(parameters)
    kinds = OBJECT_KINDS if "flows" in stages else ()
    networks = {kind: network_digest(getattr(parameters, kind).network, kind) for kind in kinds}
    model = parameters.denoising.model if "denoise" in stages else None
    model_digest = None if model is None else _model_digest(Path(model))
    check_device(execution.device)
    layout = Layout(acquisition.folder)
    layout.ensure_writable()
    for kind in kinds:
        _try_network(layout, kind, getattr(parameters, kind).network, networks[kind])
    return Preflight(source, model_digest, networks)


def _no_source(acquisition: Acquisition) -> str:
    """A run that starts later needs what an earlier one has left."""
    if not acquisition.folder.is_dir():
        raise IncompleteArtifactError(
            f"{acquisition.folder} is not there, so that there is nothing to go on from; start at {STAGE_NAMES[0]}"
        )
    return ""


def _check_mask_spacings(parameters: PipelineParameters) -> None:
    cells, nuclei = parameters.cells.mask_spacing_nm, parameters.nuclei.mask_spacing_nm
    if cells != nuclei:
        raise ParameterError(
            f"cells.mask_spacing_nm is {cells:g} and nuclei.mask_spacing_nm {nuclei:g}; "
            "masks of cells and nuclei are compared voxel by voxel: make them equal"
        )


def _model_digest(path: Path) -> str:
    from spherovem_core.utils.digests import file_digest

    if not path.is_file():
        raise MissingNetworkError(
            f"denoising.model names {path}, which is not there; give a CAREamics checkpoint, or leave it empty to train one"
        )
    return file_digest(path)


def _try_network(layout: Layout, kind: ObjectKind, name: str, digest: str) -> None:
    """Load a network once before hours of other work; one that could be loaded is remembered."""
    from spherovem_core.segmentation import load_network

    known = layout.scratch / "networks" / f"{kind}-{digest.replace(':', '-')}"
    if known.exists():
        return
    load_network(name, kind, "cpu")
    known.parent.mkdir(parents=True, exist_ok=True)
    known.touch()
