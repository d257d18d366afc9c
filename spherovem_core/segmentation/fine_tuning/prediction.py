"""Segmentation of single sections, and its agreement with their labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fastremap
import numpy as np
from numpy.typing import NDArray

from spherovem_core.parameters import EvaluationParameters, FineTuningParameters, ObjectParameters
from spherovem_core.segmentation.evaluation import Evaluation, evaluate_sections
from spherovem_core.segmentation.fine_tuning.dataset import LabelledSlice
from spherovem_core.segmentation.fine_tuning.known_pixels import drop_unknown_objects
from spherovem_core.segmentation.flows import batch_size, tile_size
from spherovem_core.segmentation.in_memory import masks_from_flows
from spherovem_core.utils.torch_device import kept_torch_threads

MIN_PIXELS = 15
"""Pixels of the smallest object in a section, the limit of cellpose."""


@dataclass(frozen=True)
class SectionSettings:
    """Settings by which flows of a section become objects.

    Attributes
    ----------
    probability_threshold
        Pixels whose logit is above belong to an object.
    flow_smoothing
        Gaussian smoothing of the flows in pixels.
    min_pixels
        Objects with fewer pixels are dropped.
    """

    probability_threshold: float = 0.0
    flow_smoothing: float = 0.0
    min_pixels: int = MIN_PIXELS


def segment_section(
    image: NDArray[np.float32], network: Any, settings: SectionSettings = SectionSettings()
) -> NDArray[np.uint32]:
    """Label the objects in one section.

    Parameters
    ----------
    image : (Y, X) ndarray of float32
        Intensities, 0 and 1 at black and white.
    network
        From `load_network`; it is set to evaluation mode.

    Returns
    -------
    (Y, X) ndarray of uint32
        Instances, 0 is background.
    """
    return label_section(predict_section(image, network), settings)


def predict_section(image: NDArray[np.float32], network: Any) -> NDArray[np.float32]:
    """Predict flows (dy, dx) and logit (3, Y, X) of one section, as `segment_section`."""
    import torch
    from cellpose.core import run_net

    channels = np.zeros((1, *image.shape, 3), np.float32)
    channels[0, ..., 0] = image
    network.eval()
    with torch.no_grad(), kept_torch_threads():
        maps, _ = run_net(
            network, channels, batch_size=batch_size(network.device), bsize=tile_size(network, image.shape)
        )
    return np.moveaxis(maps[0], -1, 0)


def label_section(maps: NDArray[np.float32], settings: SectionSettings) -> NDArray[np.uint32]:
    """Label the objects that flows and logit (3, Y, X) of a section show, as `segment_section`."""
    flows = np.zeros((4, 1, *maps.shape[1:]), np.float32)
    flows[1:] = maps[:, None]
    parameters = ObjectParameters(
        min_diameter_um=0.0,
        flow_smoothing=settings.flow_smoothing,
        probability_threshold=settings.probability_threshold,
    )
    with kept_torch_threads():
        labels = masks_from_flows(flows, parameters, (1.0, 1.0, 1.0))[0]
    numbers, counts = fastremap.unique(labels, return_counts=True)
    small = numbers[counts < settings.min_pixels].tolist()
    return np.asarray(
        fastremap.renumber(fastremap.mask(labels, small), preserve_zero=True)[0], dtype=np.uint32
    )


def evaluate_network(
    network: Any,
    slices: Sequence[LabelledSlice],
    parameters: FineTuningParameters,
    boundary_error: bool = True,
    settings: SectionSettings = SectionSettings(),
) -> tuple[Evaluation, list[NDArray[np.uint32]]]:
    """Segment labelled slices and compare the result with their labels; return the evaluation and the found labels.

    Found objects that lie mostly where nothing is known are left out.
    """
    maps = [predict_section(one.image, network) for one in slices]
    return evaluate_maps(maps, slices, parameters, settings, boundary_error)


def evaluate_maps(
    maps: Sequence[NDArray[np.float32]],
    slices: Sequence[LabelledSlice],
    parameters: FineTuningParameters,
    settings: SectionSettings,
    boundary_error: bool = False,
) -> tuple[Evaluation, list[NDArray[np.uint32]]]:
    """Evaluate predicted flows and logits of slices, as `evaluate_network`."""
    found = [
        drop_unknown_objects(label_section(each, settings), one.known)
        for each, one in zip(maps, slices, strict=True)
    ]
    side = parameters.flow_spacing_nm
    evaluation = evaluate_sections(
        [one.labels for one in slices],
        found,
        (side, side, side),
        EvaluationParameters(boundary_error=boundary_error),
    )
    return evaluation, found
