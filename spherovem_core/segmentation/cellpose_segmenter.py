"""Segmentation with Cellpose networks: flows in three planes, masks where the flows converge or by learned merging."""

import logging
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from spherovem_core.blocks import BlockSink, ReadableSink
from spherovem_core.execution import Execution
from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.parameters import FlowParameters, MaskParameters
from spherovem_core.segmentation.flows import predict_flows
from spherovem_core.segmentation.grid import Grid, PlacedArray, grid_of
from spherovem_core.segmentation.learned_merging import LearnedMerging
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.merging_model import find_merging_model, read_merging_model
from spherovem_core.segmentation.networks import load_network, network_digest
from spherovem_core.segmentation.scratch import Scratch
from spherovem_core.segmentation.stitching import segment_masks
from spherovem_core.store.layout import ObjectKind
from spherovem_core.utils.digests import file_digest

logger = logging.getLogger(__name__)


class CellposeSegmenter:
    """Cellpose-SAM, fine-tuned weights or phantom-compact, by the parameter `network`."""

    name = "cellpose"
    channels = ("dz", "dy", "dx", "logit")

    def weights_digest(self, kind: ObjectKind, parameters: FlowParameters) -> str:
        """Return the digest of the network's weights."""
        return network_digest(parameters.network, kind)

    def check_weights(self, kind: ObjectKind, parameters: FlowParameters) -> None:
        """Load the network once on the CPU."""
        load_network(parameters.network, kind, "cpu")

    def labels_digest(self, parameters: MaskParameters) -> str:
        """Return the digest of the merging model that makes the masks, empty without one; read the model to check it."""
        path = _model_in_use(parameters)
        if path is None:
            return ""
        read_merging_model(path)
        return file_digest(path)

    def labels_on_gpu(self, parameters: MaskParameters) -> bool:
        """Return whether cellpose's own dynamics make the masks."""
        return parameters.mask_dynamics == "cellpose" and _model_in_use(parameters) is None

    def predict(
        self,
        kind: ObjectKind,
        source: PlacedArray,
        grid: Grid,
        sink: BlockSink,
        parameters: FlowParameters,
        execution: Execution,
        scratch: Scratch,
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
            scratch=scratch,
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
        grid = grid_of(field)
        inputs = MaskInputs(field, grid, grid_of(image), image, grid.in_sections)
        path, learned = _model_in_use(parameters), None
        if path is not None:
            logger.info("boundaries and merging by %s", path)
            model = read_merging_model(path)[0]
            learned = LearnedMerging(model, volume_percentile_range(image, model.percentiles))
        return segment_masks(inputs, provisional, sink, parameters, execution, ledger, learned)


def _model_in_use(parameters: MaskParameters) -> Path | None:
    """Return the file of the merging model that makes the masks; None if the strength of boundaries decides."""
    return find_merging_model(parameters.network) if parameters.merging == "auto" else None
