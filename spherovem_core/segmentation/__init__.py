"""Cells and nuclei: flows from a Cellpose network, masks from flows, and how well they agree with a truth."""

from spherovem_core.segmentation.evaluation import LabelMatch, match_labels
from spherovem_core.segmentation.flows import predict_flows
from spherovem_core.segmentation.grid import Grid, flow_grid, source_level
from spherovem_core.segmentation.mask_inputs import MaskField
from spherovem_core.segmentation.masks import masks_from_flows
from spherovem_core.segmentation.networks import load_network, network_digest
from spherovem_core.segmentation.stitching import segment_masks

__all__ = [
    "Grid",
    "LabelMatch",
    "MaskField",
    "flow_grid",
    "load_network",
    "masks_from_flows",
    "match_labels",
    "network_digest",
    "predict_flows",
    "segment_masks",
    "source_level",
]
