"""Segmentation of single sections, and its agreement with their labels."""

from collections.abc import Sequence
from typing import Any

import fastremap
import numpy as np
from numpy.typing import NDArray

from spherovem_core.parameters import EvaluationParameters, FineTuningParameters, ObjectParameters
from spherovem_core.segmentation.evaluation import Evaluation, evaluate_sections
from spherovem_core.segmentation.fine_tuning.dataset import LabelledSlice
from spherovem_core.segmentation.flows import batch_size, tile_size
from spherovem_core.segmentation.in_memory import masks_from_flows

MIN_PIXELS = 15
"""Pixels of the smallest object in a section, the limit of cellpose."""


def segment_section(image: NDArray[np.float32], network: Any) -> NDArray[np.uint32]:
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
        Instances of at least 15 pixels, 0 is background.
    """
    import torch
    from cellpose.core import run_net

    channels = np.zeros((1, *image.shape, 3), np.float32)
    channels[0, ..., 0] = image
    # Cellpose pads a section by at least 8 pixels on each side; a tile with room for them saves three others.
    padded = tuple(-(-n // 16) * 16 + 16 for n in image.shape)
    network.eval()
    with torch.no_grad():
        maps, _ = run_net(
            network, channels, batch_size=batch_size(network.device), bsize=tile_size(network, padded)
        )
    flows = np.zeros((4, 1, *image.shape), np.float32)
    flows[1:] = np.moveaxis(maps[0], -1, 0)[:, None]
    parameters = ObjectParameters(min_diameter_um=0.0, flow_smoothing=0.0)
    labels = masks_from_flows(flows, parameters, (1.0, 1.0, 1.0))[0]
    numbers, counts = fastremap.unique(labels, return_counts=True)
    small = numbers[counts < MIN_PIXELS].tolist()
    return np.asarray(
        fastremap.renumber(fastremap.mask(labels, small), preserve_zero=True)[0], dtype=np.uint32
    )


def evaluate_network(
    network: Any,
    slices: Sequence[LabelledSlice],
    parameters: FineTuningParameters,
    boundary_error: bool = True,
) -> tuple[Evaluation, list[NDArray[np.uint32]]]:
    """Segment labelled slices and compare the result with their labels; return the evaluation and the found labels."""
    found = [segment_section(one.image, network) for one in slices]
    side = parameters.flow_spacing_nm
    evaluation = evaluate_sections(
        [one.labels for one in slices],
        found,
        (side, side, side),
        EvaluationParameters(boundary_error=boundary_error),
    )
    return evaluation, found
