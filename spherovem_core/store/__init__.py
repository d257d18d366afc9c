"""The store of results: arrays with a ledger and a completion marker, pyramids, tables, provenance."""

from typing import TYPE_CHECKING

from spherovem_core.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from spherovem_core.store.arrays import ArrayWriter
    from spherovem_core.store.failures import noting_failure
    from spherovem_core.store.files import read_json, write_atomically, write_json, write_text
    from spherovem_core.store.groups import discard, ensure_group, move_group
    from spherovem_core.store.layout import Layout
    from spherovem_core.store.ledger import Ledger
    from spherovem_core.store.provenance import (
        NUMERICAL_PACKAGES,
        StepRecorder,
        history_entry,
        package_versions,
    )
    from spherovem_core.store.pyramid import (
        LikeGroup,
        downsample,
        finish_multiscale,
        grow_levels,
        level_factors,
        level_shape,
        nearest_level,
        pyramid_factors,
    )
    from spherovem_core.store.reading import StoredArray, find_array, open_array
    from spherovem_core.store.replaced import discard_replaced, set_aside
    from spherovem_core.store.spec import ArraySpec, Content, cube_shards, slice_shards
    from spherovem_core.store.tables import find_table, read_table, table_digest, table_history, write_table

__getattr__ = lazy_names(__name__, __file__)

__all__ = [
    "NUMERICAL_PACKAGES",
    "ArraySpec",
    "ArrayWriter",
    "Content",
    "Layout",
    "Ledger",
    "LikeGroup",
    "StepRecorder",
    "StoredArray",
    "cube_shards",
    "discard",
    "discard_replaced",
    "downsample",
    "ensure_group",
    "find_array",
    "find_table",
    "finish_multiscale",
    "grow_levels",
    "history_entry",
    "level_factors",
    "level_shape",
    "move_group",
    "nearest_level",
    "noting_failure",
    "open_array",
    "package_versions",
    "pyramid_factors",
    "read_json",
    "read_table",
    "set_aside",
    "slice_shards",
    "table_digest",
    "table_history",
    "write_atomically",
    "write_json",
    "write_table",
    "write_text",
]
