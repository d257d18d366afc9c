"""All disk access: arrays with a completion marker and ledger, pyramids, tables, provenance."""

from spherovem_core.store.arrays import (
    ArraySpec,
    ArrayWriter,
    StoredArray,
    cube_shards,
    discard,
    find_array,
    open_array,
    slice_shards,
)
from spherovem_core.store.checkpoints import Ledger
from spherovem_core.store.layout import Layout
from spherovem_core.store.provenance import StageRecorder, history_entry, package_versions
from spherovem_core.store.pyramid import (
    downsample,
    finish_multiscale,
    level_factors,
    level_shape,
    nearest_level,
)
from spherovem_core.store.tables import (
    find_table,
    read_json,
    read_table,
    table_digest,
    table_history,
    write_atomically,
    write_json,
    write_table,
    write_text,
)

__all__ = [
    "ArraySpec",
    "ArrayWriter",
    "Layout",
    "Ledger",
    "StageRecorder",
    "StoredArray",
    "cube_shards",
    "discard",
    "downsample",
    "find_array",
    "find_table",
    "finish_multiscale",
    "history_entry",
    "level_factors",
    "level_shape",
    "nearest_level",
    "open_array",
    "package_versions",
    "read_json",
    "read_table",
    "slice_shards",
    "table_digest",
    "table_history",
    "write_atomically",
    "write_json",
    "write_table",
    "write_text",
]
