"""Protocol of a segmenter: an image becomes instance labels in two phases."""

from collections.abc import MutableMapping
from typing import Any, Protocol

from spherovem_core.blocks import BlockSink, ReadableSink
from spherovem_core.execution import Execution
from spherovem_core.parameters import FlowParameters, MaskParameters
from spherovem_core.segmentation.grid import Grid, PlacedArray
from spherovem_core.segmentation.scratch import Scratch
from spherovem_core.store.layout import ObjectKind


class Segmenter(Protocol):
    """A method that finds the objects of one kind in an image.

    The first phase, `predict`, computes a field at a reduced resolution, usually by a network on a GPU. The second, `label`,
    makes instance labels from the field and the image. The field is kept on disk, so that other mask parameters need no
    second prediction. Both phases work slab by slab or block by block, check the deadline in between (`Execution.report`), leave
    out what their sink already has, and give the same result for any number of workers.

    A segmenter is added by a module and a line in `SEGMENTERS`; ``tests/core/test_segmenters.py`` then tests it.
    """

    @property
    def name(self) -> str:
        """Name in parameters and in the history of arrays."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the field's channels; the last one is the foreground logit, compared with `probability_threshold`.

        Empty for a segmenter without a field, whose `predict` does nothing.
        """

    def weights_digest(self, kind: ObjectKind, parameters: FlowParameters) -> str:
        """Return a digest of everything beside the parameters that changes the field, such as weights.

        Raises
        ------
        NetworkError
            If the weights do not exist.
        """

    def check_weights(self, kind: ObjectKind, parameters: FlowParameters) -> None:
        """Load the weights once, before hours of other work.

        Raises
        ------
        NetworkError
            If the weights do not exist, are damaged or do not fit.
        """

    def labels_digest(self, parameters: MaskParameters) -> str:
        """Return a digest of everything beside field, image and parameters that changes the labels; empty if there is nothing.

        Raises
        ------
        NetworkError
            If it cannot be read.
        """

    def labels_on_gpu(self, parameters: MaskParameters) -> bool:
        """Return whether `label` uses the GPU of `Execution.device`."""

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
        """Compute the field of a volume.

        Parameters
        ----------
        kind
            ``cells`` or ``nuclei``.
        source : (Z, Y, X) array
            The registered image, at a resolution at least as fine as the grid (see `source_level`).
        grid
            From `flow_grid`.
        sink
            Takes (C, z, y, x) float16 blocks of a (C, *grid.shape) array with the C `channels`: slabs of 16 along z, or
            blocks whose sides are multiples of 256.
        parameters, execution
            Parameters of this kind; device, workers, deadline and progress.
        scratch
            Place of arrays that may be larger than memory and go when the field is complete.

        Raises
        ------
        DeadlineError
            If the deadline passes; finished blocks stay in the sink.
        NetworkError, DeviceError
            If the network or the device cannot be used.
        """

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
        """Make labels from the field and the image.

        Parameters
        ----------
        field : (C, Z, Y, X) array
            Result of `predict`.
        image : (Z, Y, X) array
            The registered image on the grid of the labels.
        provisional
            Takes uint32 blocks of the image's shape, and is read back: scratch space that may hold more than memory.
        sink
            Takes the labels, uint32 blocks of the image's shape; 0 is background.
        parameters, execution
            As in `predict`.
        ledger
            JSON values of finished blocks. With a ledger and sinks that survive a kill, the next run continues from there.

        Returns
        -------
        int
            Number N of objects, labelled from 1 to N without a gap; labels that were given keep their numbers.

        Raises
        ------
        DeadlineError
            If the deadline passes; finished blocks stay in the sinks.
        """
