"""Content digest of a table: of its columns and values, not of its file, whose metadata hold seconds and times."""

import json

import numpy as np
import pyarrow as pa

from spherovem_core.store.checksums import new_checksum


def table_content(table: pa.Table) -> str:
    """Compute the digest of the names, types and values of a table's columns, in their order.

    Missing values count as such; all bit patterns of NaN are alike.
    """
    digest = new_checksum(str(table.num_rows).encode())
    for name, column in zip(table.column_names, table.columns, strict=True):
        digest.update(json.dumps([name, str(column.type)]).encode())
        missing = column.is_null().combine_chunks().to_numpy(zero_copy_only=False)
        digest.update(np.packbits(missing).tobytes())
        digest.update(_values(column, missing))
    return digest.hexdigest()


def _values(column: pa.ChunkedArray, missing: np.ndarray) -> bytes:
    """Return the values as bytes, missing ones as zero."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return np.packbits(column.fill_null(False).combine_chunks().to_numpy(zero_copy_only=False)).tobytes()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = column.to_numpy().copy() if not missing.any() else column.fill_null(0).to_numpy().copy()
        if pa.types.is_floating(kind):
            values[np.isnan(values)] = np.nan
        return bytes(values.tobytes())
    return json.dumps(column.to_pylist(), default=str).encode()
