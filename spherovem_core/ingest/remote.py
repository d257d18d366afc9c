"""Objects in buckets and on web servers, through fsspec.

Credentials come from the environment that the libraries use (``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL`` ...,
``FSSPEC_S3_ANON=true`` for public buckets); none is held or logged here.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from spherovem_core.errors import AcquisitionError, RemoteSourceError
from spherovem_core.ingest.extras import missing_extra
from spherovem_core.ingest.remote_faults import RemoteFile, as_os_error
from spherovem_core.urls import is_web, url_of

_BLOCK = 2**20
VOLUME_FILES = ("zarr.json", ".zgroup", ".zarray", "attributes.json", "info")
VOLUME_ENDINGS = ("", ".zarr", ".n5", ".precomputed")
"""Files by which a folder is known as a volume where it cannot be listed, and endings of its name."""
MARKS = ("ETag", "Content-MD5", "Digest", "LastModified", "Last-Modified", "mtime")
"""Entries by which servers tell one content from another, the best first."""


@lru_cache(maxsize=8)
def _filesystem(scheme: str) -> Any:
    try:
        import fsspec

        # Listings are asked for again each time: an acquisition grows while it is copied.
        return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        raise missing_extra("remote", f"{scheme}:// sources", error) from error


def forget_connections() -> None:
    """Make new clients from now on, with the settings that the environment holds then."""
    _filesystem.cache_clear()


def _opened(path: Path) -> tuple[Any, str]:
    url = url_of(path)
    if url is None:
        raise FileNotFoundError(f"{path} is no URL")
    return _filesystem(url.partition(":")[0]), url


def files_in(folder: Path) -> list[Path]:
    """List the objects directly below a prefix; none if there is no such prefix."""
    try:
        return children(folder)[0]
    except FileNotFoundError:
        return []


def exists(path: Path) -> bool:
    """Return whether an object or a prefix is there."""
    files, url = _opened(path)
    with as_os_error(url):
        # A prefix without an object of its name exists for S3, but not for a web server.
        return bool(files.exists(url)) or (is_web(path) and is_folder(path))


def is_folder(path: Path) -> bool:
    """Return whether objects lie below a prefix."""
    files, url = _opened(path)
    with as_os_error(url):
        try:
            if not is_web(path):
                return bool(files.isdir(url))
            # A web server answers for a file too: only a listing with entries below the address makes it a folder.
            base = url.rstrip("/") + "/"
            return any(entry.startswith(base) for entry in files.ls(base, detail=False)) or _is_unlisted(
                files, base
            )
        except FileNotFoundError:
            return _is_unlisted(files, url.rstrip("/") + "/")


def _is_unlisted(files: Any, base: str) -> bool:
    """Return whether a folder is a volume on a server that lists no folders."""
    # Some servers answer to any address: what is named as a file is none of these.
    ending = PurePosixPath(base).suffix
    return ending in VOLUME_ENDINGS and any(files.exists(base + name) for name in VOLUME_FILES)


def is_file(path: Path) -> bool:
    """Return whether an object is there."""
    files, url = _opened(path)
    with as_os_error(url):
        if not is_web(path):
            # A name without a key is that of a bucket, perhaps of somebody else's.
            return "/" in url.partition("://")[2] and bool(files.isfile(url))
        return bool(files.exists(url)) and not is_folder(path)


def children(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the objects and the prefixes directly below a prefix."""
    files, url = _opened(folder)
    with as_os_error(url):
        entries = files.ls(url.rstrip("/") + "/", detail=True)
    scheme, _, place = url.partition("://")
    base = place.rstrip("/") + "/"
    found: tuple[list[Path], list[Path]] = ([], [])
    for entry in entries:
        name = str(entry["name"]).removeprefix(f"{scheme}://")
        inside = name.removeprefix(base).rstrip("/")
        if name.startswith(base) and inside and "/" not in inside and not inside.startswith("?"):
            found[entry["type"] == "directory" or name.endswith("/")].append(folder / inside)
    return sorted(found[0]), sorted(found[1])


def _linked_below(folder: Path) -> Iterator[Path]:
    own, deeper = children(folder)
    yield from own
    for each in deeper:
        yield from _linked_below(each)


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    try:
        found = children(folder)
    except FileNotFoundError:
        found = ([], [])
    if not any(found):
        raise AcquisitionError(
            f"the server of {url_of(folder)} lists no files there, so that a change of the volume could not be seen; expected a "
            "server that lists folders, a bucket (s3://), or a copy on disk"
        )
    return found


def files_below(folder: Path) -> list[Path]:
    """List every object below a prefix."""
    files, url = _opened(folder)
    if is_web(folder):
        own, deeper = _listed(folder)
        return sorted([*own, *(path for each in deeper for path in _linked_below(each))])
    with as_os_error(url):
        found = files.find(url)
    base = url.partition("://")[2].rstrip("/")
    return sorted(folder / str(name).removeprefix(base).lstrip("/") for name in found if str(name) != base)


def state_of(path: Path) -> tuple[int, str]:
    """Return the size of an object, and its ETag or else its time of modification."""
    files, url = _opened(path)
    with as_os_error(url):
        info = files.info(url)
    if info.get("type") == "directory" or info.get("size") is None:
        raise FileNotFoundError(f"{url} is no object, or the server does not state its size")
    mark = next((info[key] for key in MARKS if info.get(key)), "")
    return int(info["size"]), str(mark).strip('"')


def open_binary(path: Path) -> BinaryIO:
    """Open an object for reading in ranges."""
    files, url = _opened(path)
    with as_os_error(url):
        return cast(
            "BinaryIO", RemoteFile(url, files.open(url, "rb", block_size=_BLOCK, cache_type="readahead"))
        )


def read_range(path: Path, start: int, count: int) -> bytes:
    """Read some bytes of an object, fewer if it ends before."""
    files, url = _opened(path)
    if count <= 0 or start < 0:
        return b""
    with as_os_error(url):
        try:
            content = bytes(files.cat_file(url, start=start, end=start + count))
        except FileNotFoundError:
            raise
        except Exception:
            # A range that begins behind the end is an error of its own kind for each server.
            if start < state_of(path)[0]:
                raise
            return b""
    if len(content) > count:
        raise RemoteSourceError(
            f"the server of {url} ignores ranges; expected one that sends parts of a file"
        )
    return content
