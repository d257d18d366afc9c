"""Stage segmentation: a segmenter's field, labels of cells and nuclei from it, and their agreement with a truth."""

from typing import TYPE_CHECKING

from spherovem_core.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from spherovem_core.segmentation.evaluation import LabelMatch, match_labels
    from spherovem_core.segmentation.flows import predict_flows
    from spherovem_core.segmentation.grid import (
        Grid,
        PlacedArray,
        PlacedVolume,
        flow_grid,
        grid_of,
        source_level,
    )
    from spherovem_core.segmentation.imported_segmenter import copy_labels
    from spherovem_core.segmentation.in_memory import masks_from_flows, segment_volume
    from spherovem_core.segmentation.mask_inputs import MaskInputs
    from spherovem_core.segmentation.networks import load_network, network_digest
    from spherovem_core.segmentation.segmenter import Segmenter
    from spherovem_core.segmentation.segmenters import SEGMENTERS, segmenter_named
    from spherovem_core.segmentation.stitching import segment_masks

__getattr__ = lazy_names(__name__, __file__)

__all__ = [
    "SEGMENTERS",
    "Grid",
    "LabelMatch",
    "MaskInputs",
    "PlacedArray",
    "PlacedVolume",
    "Segmenter",
    "copy_labels",
    "flow_grid",
    "grid_of",
    "load_network",
    "masks_from_flows",
    "match_labels",
    "network_digest",
    "predict_flows",
    "segment_masks",
    "segment_volume",
    "segmenter_named",
    "source_level",
]
