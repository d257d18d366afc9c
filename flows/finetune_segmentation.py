"""Fine-tune a segmentation network on labelled slices."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import flow

from flows.failures import with_remedy_first
from spherovem_core.errors import LabelsError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.references import FineTuningFolders


@flow(name="finetune-segmentation", flow_run_name="{folders.out.name}")
@with_remedy_first
def finetune_segmentation(
    folders: FineTuningFolders,
    parameters: FineTuningParameters = FineTuningParameters(),
    execution: ExecutionSettings = ExecutionSettings(),
) -> dict[str, Any]:
    """Train a network further on labelled slices and evaluate it on held-out slices.

    Weights that are there already from the same slices, network and parameters are not trained again. A training
    that was killed continues after its last finished epoch.

    Parameters
    ----------
    folders
        Slices cut by ``spherovem cut-slices`` and labelled, or any others of the pixel size that the network will
        see; and where ``weights.pt`` goes, which is a network for the segmentation by its path.
    parameters
        Parameters of the training; they change the result.
    execution
        Device and threads; changes no result on one CPU thread.

    Returns
    -------
    dict
        The manifest: digests of data and weights, parameters, scores before and after; with a volume also what was learned about
        merging, and with labels in 3D what they chose for masks.
    """
    # Imported here so that a deployment which only looks at the flow's signature does not wait for torch.
    from flows.defaults import merge_with_deployment
    from tasks.finetune import finetune

    execution = merge_with_deployment("execution", execution)
    manifest = finetune(folders, parameters, execution)
    if folders.volume is not None:
        from tasks.learn_merging import learn_merging_of

        with _network_is_kept(folders, "merging was not learned"):
            manifest = manifest | {"merging": learn_merging_of(folders, parameters, execution)}
    from tasks.tune_masks import forget_masks, tune_masks_of

    if folders.labels_3d is None:
        forget_masks(folders)
    else:
        with _network_is_kept(folders, "parameters of masks were not chosen"):
            manifest = manifest | {"masks": tune_masks_of(folders, parameters, manifest["chosen"], execution)}
    return manifest


@contextmanager
def _network_is_kept(folders: FineTuningFolders, what: str) -> Iterator[None]:
    """Say that the trained network can be used, and is not trained again, where a later step cannot be done."""
    try:
        yield
    except LabelsError as error:
        raise LabelsError(
            f"{what}: {error}. The network is trained and kept in {folders.out / 'weights.pt'}: use it as it is; the same "
            "slices do not train it again"
        ) from error
