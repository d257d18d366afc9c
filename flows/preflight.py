"""What can be found wrong before the first stage is found wrong before the first stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spherovem_core.errors import MissingNetworkError, ParameterError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.store.layout import OBJECT_KINDS, Layout, ObjectKind
from tasks.devices import check_device


@dataclass(frozen=True)
class Preflight:
    """Fingerprints of what comes from outside the results folder.

    Attributes
    ----------
    source_digest
        Of the acquired files.
    model_digest
        Of the denoising model given by path; None when one is trained.
    network_digests
        Of the segmentation networks, by kind.
    """

    source_digest: str
    model_digest: str | None
    network_digests: Mapping[ObjectKind, str]


def check_before_start(
    acquisition: Acquisition, parameters: PipelineParameters, execution: ExecutionSettings
) -> Preflight:
    """Look at source, networks, device and results folder, in this order, so that a bad source makes no folder.

    Raises
    ------
    SpheroVemError
        The first thing that would stop the run later.
    """
    from spherovem_core.ingest import source_digest
    from spherovem_core.segmentation import network_digest

    source = source_digest(acquisition.source)
    if parameters.cells.mask_spacing_nm != parameters.nuclei.mask_spacing_nm:
        raise ParameterError(
            f"cells.mask_spacing_nm is {parameters.cells.mask_spacing_nm:g} and nuclei.mask_spacing_nm "
            f"{parameters.nuclei.mask_spacing_nm:g}; masks of cells and nuclei are compared voxel by voxel: make them equal"
        )
    networks = {kind: network_digest(getattr(parameters, kind).network, kind) for kind in OBJECT_KINDS}
    model = None if parameters.denoising.model is None else _model_digest(Path(parameters.denoising.model))
    check_device(execution.device)
    layout = Layout(acquisition.folder)
    layout.ensure_writable()
    for kind in OBJECT_KINDS:
        _try_network(layout, kind, getattr(parameters, kind).network, networks[kind])
    return Preflight(source, model, networks)


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
