"""Segmentation with Cellpose networks: flows in three planes, masks where the flows converge or by learned merging."""

import logging
from collections.abc import MutableMapping
from typing import Any

from spherovem_core.blocks import BlockSink, ReadableSink
from spherovem_core.execution import Execution
from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.parameters import FlowParameters, MaskParameters
from spherovem_core.segmentation.flows import predict_flows
from spherovem_core.segmentation.grid import Grid, PlacedArray, grid_of
from spherovem_core.segmentation.learned_merging import LearnedMerging
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.merging_model import MergingModel, find_merging_model, read_merging_model
from spherovem_core.segmentation.networks import load_network, network_digest
from spherovem_core.segmentation.stitching import segment_masks
from spherovem_core.store.layout import ObjectKind
from spherovem_core.utils.digests import file_digest

logger = logging.getLogger(__name__)


class CellposeSegmenter:
    """Cellpose-SAM, fine-tuned weights or phantom-compact, by the parameter `network`."""

    name = "cellpose"
    channels = ("dz", "dy", "dx", "logit")

    def weights_digest(self, kind: ObjectKind, parameters: FlowParameters) -> str:
        """Return the digest of the network's weights, and of its merging model if there is one."""
        digest = network_digest(parameters.network, kind)
        path = find_merging_model(parameters.network)
        return digest if path is None else f"{digest}, merging {file_digest(path)}"

    def check_weights(self, kind: ObjectKind, parameters: FlowParameters) -> None:
        """Load the network once on the CPU, and read its merging model."""
        load_network(parameters.network, kind, "cpu")
        _merging_model(parameters)

    def labels_on_gpu(self, parameters: MaskParameters) -> bool:
        """Return whether cellpose's own dynamics make the masks."""
        learned = parameters.merging == "auto" and find_merging_model(parameters.network) is not None
        return parameters.mask_dynamics == "cellpose" and not learned

    def predict(
        self,
        kind: ObjectKind,
        source: PlacedArray,
        grid: Grid,
        sink: BlockSink,
        parameters: FlowParameters,
        execution: Execution,
    ) -> None:
        """Predict flows and logit, see `predict_flows`."""
        predict_flows(
            source,
            source.spacing_nm,
            grid,
            load_network(parameters.network, kind, execution.device),
            sink,
            parameters,
            execution,
            source_origin_nm=source.origin_nm,
        )

    def label(
        self,
        field: PlacedArray,
        image: PlacedArray,
        provisional: ReadableSink,
        sink: BlockSink,
        parameters: MaskParameters,
        execution: Execution,
        ledger: MutableMapping[str, Any] | None = None,
    ) -> int:
        """Make masks from flows, see `segment_masks`; by learned merging where the network has a model of it."""
        inputs = MaskInputs(field, grid_of(field), grid_of(image), image)
        model = _merging_model(parameters) if parameters.merging == "auto" else None
        learned = None
        if model is not None:
            logger.info("boundaries and merging by the model beside %s", parameters.network)
            learned = LearnedMerging(model, volume_percentile_range(image, model.percentiles))
        return segment_masks(inputs, provisional, sink, parameters, execution, ledger, learned)


def _merging_model(parameters: FlowParameters | MaskParameters) -> MergingModel | None:
    path = find_merging_model(parameters.network)
    return None if path is None else read_merging_model(path)[0]
