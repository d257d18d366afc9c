"""Segmentation with Cellpose networks: flows in three planes, masks where the flows converge."""

from collections.abc import MutableMapping
from typing import Any

from spherovem_core.blocks import BlockSink, ReadableSink
from spherovem_core.execution import Execution
from spherovem_core.parameters import FlowParameters, MaskParameters
from spherovem_core.segmentation.flows import predict_flows
from spherovem_core.segmentation.grid import Grid, PlacedArray, grid_of
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.networks import load_network, network_digest
from spherovem_core.segmentation.stitching import segment_masks
from spherovem_core.store.layout import ObjectKind


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

    def labels_on_gpu(self, parameters: MaskParameters) -> bool:
        """Return whether cellpose's own dynamics make the masks."""
        return parameters.mask_dynamics == "cellpose"

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
        """Make masks from flows, see `segment_masks`."""
        inputs = MaskInputs(field, grid_of(field), grid_of(image), image)
        return segment_masks(inputs, provisional, sink, parameters, execution, ledger)
