"""Arrays that tensorstore reads, on disk or by URL; a chunk that is not there is an error."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError, RemoteAccessError, RemoteSourceError
from spherovem_core.ingest.axes import VolumeAxes
from spherovem_core.ingest.extras import missing_extra
from spherovem_core.urls import url_of

# Status with which tensorstore reports faults of the network, which may pass.
PASSING = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "RESOURCE_EXHAUSTED")
# Tensorstore's default of 32 waits for a quarter of an hour.
RETRIES = {"max_retries": 3, "initial_delay": "200ms", "max_delay": "1s"}
DENIED = ("PERMISSION_DENIED", "UNAUTHENTICATED")


def open_tensorstore(driver: str, folder: Path, *, fill_absent: bool, **spec: Any) -> Any:
    """Open an array for reading.

    Raises
    ------
    ValueError
        If there is none, or its metadata are damaged.
    """
    try:
        import tensorstore
    except ImportError as error:
        raise missing_extra("tensorstore", "N5 and neuroglancer precomputed volumes", error) from error
    # No cache: each chunk is read once, slab by slab.
    context = {
        "cache_pool": {"total_bytes_limit": 0},
        "data_copy_concurrency": {"limit": 2},
        **dict.fromkeys(("http_request_retries", "s3_request_retries"), RETRIES),
    }
    store = {
        "driver": driver,
        "kvstore": key_value_store(folder),
        "fill_missing_data_reads": fill_absent,
        **spec,
    }
    try:
        return tensorstore.open(store, read=True, open=True, context=tensorstore.Context(context)).result()
    except ValueError as error:
        raise _sorted_out(error) from None


def key_value_store(folder: Path) -> dict[str, Any]:
    """Describe a folder as tensorstore takes it; credentials come from the environment."""
    url = url_of(folder)
    if url is None:
        return {"driver": "file", "path": f"{folder.absolute()}/"}
    scheme, _, place = url.partition("://")
    host, _, path = place.rstrip("/").partition("/")
    if scheme != "s3":
        return {"driver": "http", "base_url": f"{scheme}://{host}", "path": f"/{path}/"}
    store: dict[str, Any] = {"driver": "s3", "bucket": host, "path": f"{path}/"}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL")):
        store["endpoint"] = endpoint
        store["aws_region"] = os.environ.get("AWS_REGION", os.environ.get("AWS_DEFAULT_REGION", "us-east-1"))
    if os.environ.get("FSSPEC_S3_ANON", "").lower() in ("1", "true"):
        store["aws_credentials"] = {"type": "anonymous"}
    elif "AWS_ACCESS_KEY_ID" in os.environ:
        store["aws_credentials"] = {"type": "environment"}
    return store


def loader(store: Any, axes: VolumeAxes) -> Callable[[slice, slice, slice], NDArray[Any]]:
    """Return the function that reads a box (Z, Y, X); the array's own coordinates may begin anywhere."""
    origin = store.domain.origin

    def moved(part: slice | int, begin: int) -> slice | int:
        return part + begin if isinstance(part, int) else slice(part.start + begin, part.stop + begin)

    def load(z: slice, rows: slice, columns: slice) -> NDArray[Any]:
        box = axes.box(z, rows, columns, store.rank)
        index = tuple(moved(part, int(begin)) for part, begin in zip(box, origin, strict=True))
        try:
            values = store[index].read().result()
        except ValueError as error:
            found = _sorted_out(error)
            if isinstance(found, OSError):
                raise found from None
            raise BadSlicesError(_told(found)) from None
        return axes.turned(np.asarray(values))

    return load


def _sorted_out(error: ValueError) -> ValueError | OSError:
    text = str(error).partition(" [")[0]
    status = text.partition(":")[0]
    if status in DENIED:
        return RemoteAccessError(f"{text.partition(': ')[2]}; check the credentials in the environment")
    if status in PASSING:
        return RemoteSourceError(
            f"{text.partition(': ')[2]}; check the address and the network, or try again later"
        )
    return ValueError(text)


def _told(error: Exception) -> str:
    text = str(error)
    if text.startswith("NOT_FOUND: chunk"):
        return f"{text.removeprefix('NOT_FOUND: ')}; copy or write the volume again"
    return f"cannot be decoded ({text})"
