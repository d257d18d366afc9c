"""Stores of zarr, on disk or by URL, that tell a chunk that is not there from one that holds the fill value."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from spherovem_core.ingest import locations
from spherovem_core.ingest.remote_faults import as_os_error
from spherovem_core.urls import url_of

METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


class AbsentChunkError(LookupError):
    """A chunk is not there; its text is the chunk's key."""


class CheckedStore(WrapperStore[Store]):
    """Store that raises `AbsentChunkError` for a chunk that is not there, once `strict` is set."""

    strict = False

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return the content of a key."""
        found = await self._read(key, prototype, byte_range)
        if found is None and self.strict and key.rpartition("/")[2] not in METADATA:
            raise AbsentChunkError(key)
        return found

    async def _read(self, key: str, prototype: Any, byte_range: Any) -> Any:
        return await self._store.get(key, prototype, byte_range)


class CheckedRemoteStore(CheckedStore):
    """Store of a server, whose faults are no damage of the volume."""

    url = ""

    async def _read(self, key: str, prototype: Any, byte_range: Any) -> Any:
        with as_os_error(f"{self.url}/{key}"):
            return await super()._read(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        """Return whether a key is there."""
        with as_os_error(f"{self.url}/{key}"):
            return await super().exists(key)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List the names below a prefix."""
        with as_os_error(f"{self.url}/{prefix}"):
            async for name in self._store.list_dir(prefix):
                yield name


def open_store(root: Path) -> CheckedStore:
    """Open the store of a group or array for reading."""
    url = url_of(root)
    if url is None:
        return CheckedStore(LocalStore(root, read_only=True))
    if not locations.exists(root):
        raise FileNotFoundError(f"{url} does not exist")
    store = CheckedRemoteStore(
        FsspecStore.from_url(url, storage_options={"use_listings_cache": False}, read_only=True)
    )
    store.url = url.rstrip("/")
    return store
