"""Adoption of an array whose values were changed in place."""

from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from spherovem_core.blocks import block_grid
from spherovem_core.errors import ChangedArtifactError, ParameterError
from spherovem_core.integrity.adoption import Adopting, Adoption
from spherovem_core.integrity.levels import build_from_finest, spec_of
from spherovem_core.store import Layout
from spherovem_core.store.adoptions import ADOPTED
from spherovem_core.store.array_check import check_array, record_files
from spherovem_core.store.arrays import complete_array
from spherovem_core.store.layout import array_path
from spherovem_core.store.nodes import (
    METADATA,
    Node,
    essentials,
    is_array_folder,
    is_replaced_group,
    marker_of,
    read_node,
    seal,
    shard_grid,
)
from spherovem_core.store.reading import complete_node
from spherovem_core.store.shard_record import shard_path
from spherovem_core.store.shards import ShardFiles
from spherovem_core.workflow import ArrayOutput

COUNT = "count"
"""Detail of a label array that tells the number of its labels."""


def adopt_array(layout: Layout, output: ArrayOutput, making: Adopting) -> Adoption:
    """Adopt the values of the finest level, and build the coarser levels again from it.

    Shape, type, files and attributes must be those that were written; any value that the type holds is valid. The marker is
    written last: a kill before leaves an array that is still known to be changed, to be adopted again.

    Raises
    ------
    ParameterError
        If the finest level holds what was computed.
    ChangedArtifactError
        If it cannot be adopted.
    """
    folder = layout.path(array_path(output.group))
    node = _adoptable_node(layout, output)
    marker = marker_of(node) or {}
    check = check_array(folder, node, read_all=True)
    if "content" not in marker:
        raise ParameterError(
            f"{folder} was written without a record, so no change is known; verify with --record records it as it is"
        )
    if not check.changes and not check.missing:
        raise ParameterError(
            f"{folder} holds what was computed, and there is nothing to adopt; a coarser level that was changed is built again "
            "from the finest by --recompute"
        )
    array = zarr.open_array(folder, mode="r", zarr_format=3)
    _fill_removed(layout, output, marker, check.missing)
    labels = _read_all(layout, output, array)
    record = record_files(folder, shard_grid(node))
    adoption = making.adoption(marker["content"], record.content(essentials(node)))
    adopted: dict[str, Any] = {
        **marker,
        "history": [*marker.get("history", ()), dict(making.entry(adoption, marker["fingerprint"]))],
        "content": adoption.after,
        ADOPTED: adoption.marker,
    }
    if COUNT in marker:
        adopted[COUNT] = labels
    adopted["levels"] = build_from_finest(layout, output, adopted)
    record.save(folder)
    complete_array(folder, adopted)
    return adoption


def _adoptable_node(layout: Layout, output: ArrayOutput) -> Node:
    """Return the metadata of an array whose values alone may have been changed."""
    folder = layout.path(array_path(output.group))
    node = read_node(folder)
    marker = marker_of(node)
    if node is None and not is_array_folder(folder) and not is_replaced_group(folder.parent):
        # Raises: it is not there, or was discarded.
        complete_node(layout, output.group)
    if node is None or marker is None:
        raise ChangedArtifactError(
            f"{folder} cannot be adopted: its {METADATA} is damaged, or another program wrote an array over it, so that its "
            "history is lost. --recompute sets it aside; run the acquisition again, write your values into the array that it "
            "made (zarr.open_array(..., mode='r+')[:] = values), and adopt that"
        )
    if not marker.get("complete"):
        raise ChangedArtifactError(f"{folder} is unfinished; run the acquisition again to compute it")
    if "checksum" in marker and seal(node) != marker["checksum"]:
        raise ChangedArtifactError(
            f"{folder} cannot be adopted: its {METADATA} holds another shape, type, codec or marker than when the array was "
            f"completed (shape {list(node['shape'])} of {node.get('data_type')}; expected {marker.get('shape')} of "
            f"{marker.get('dtype')}). Restore that file, or discard the array with --recompute"
        )
    return node


def _fill_removed(
    layout: Layout, output: ArrayOutput, marker: dict[str, Any], missing: tuple[str, ...]
) -> None:
    """Write the files that zarr removed because all of their labels became 0."""
    if not missing:
        return
    folder = layout.path(array_path(output.group))
    if output.content != "label":
        raise ChangedArtifactError(
            f"{folder} cannot be adopted: {len(missing)} of its files are not there; restore them, or discard it with --recompute"
        )
    spec = spec_of(output, marker)
    files = ShardFiles(folder, spec.chunks, spec.shards, spec.fill_value, spec.codec)
    for name in missing:
        index = tuple(map(int, name.split("/")[1:]))
        extent = tuple(min(s, n - i * s) for i, s, n in zip(index, spec.shards, spec.shape, strict=True))
        files.write(index, np.zeros(extent, spec.dtype))


def _read_all(layout: Layout, output: ArrayOutput, array: zarr.Array[Any]) -> int:
    """Decode every file once, and return the number of labels; of an image or a field that number means nothing."""
    found: set[int] = set()
    shards = array.shards or array.chunks
    for block in block_grid(array.shape, shards):
        index = tuple(side.start // step for side, step in zip(block.core, shards, strict=True))
        try:
            values = np.asarray(array[block.core])
        except Exception as error:  # whatever the codecs raise on damaged bytes
            place = shard_path(layout.path(array_path(output.group)), index)
            raise ChangedArtifactError(
                f"{place} cannot be read ({type(error).__name__}: {error}); an array is adopted whole: restore the file, or "
                "discard the array with --recompute"
            ) from error
        if output.content == "label":
            found.update(_labels(values))
    return len(found - {0})


def _labels(values: NDArray[Any]) -> list[int]:
    return [int(label) for label in np.unique(values)]
