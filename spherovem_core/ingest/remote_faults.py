"""Faults of servers and networks, told from damaged files: errors of clients become errors of the system, with a number."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from spherovem_core.errors import RemoteAccessError, RemoteSourceError

CLIENTS = ("aiohttp", "aiobotocore", "asyncio", "botocore", "fsspec", "s3fs", "urllib3", "http.client")
"""Packages whose errors are those of a client."""


@contextmanager
def as_os_error(url: str) -> Iterator[None]:
    """Turn errors of clients into those of the system, without headers or keys in their text.

    Raises
    ------
    FileNotFoundError
        If there is no such object.
    RemoteAccessError
        If the server refuses access.
    RemoteSourceError
        If the server or the network fails.
    """
    try:
        yield
    except (FileNotFoundError, RemoteAccessError, RemoteSourceError):
        raise
    except PermissionError:
        raise _denied(url) from None
    except Exception as error:
        name = type(error).__name__
        if name in ("NoCredentialsError", "PartialCredentialsError"):
            raise RemoteAccessError(
                f"{url} cannot be read: no credentials in the environment; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or FSSPEC_S3_ANON=true for a public bucket"
            ) from None
        if _status_of(error) in (403, 401):
            raise _denied(url) from None
        if _status_of(error) == 404:
            raise FileNotFoundError(f"{url} does not exist") from None
        own = type(error).__module__.startswith(CLIENTS)
        if not own and not isinstance(error, OSError):
            raise
        raise RemoteSourceError(
            f"{url} cannot be read ({name}); check the address and the network, or try again later"
        ) from None


def _denied(url: str) -> RemoteAccessError:
    return RemoteAccessError(f"{url} cannot be read: access denied; check the credentials")


def _status_of(error: Exception) -> int:
    return int(getattr(error, "status", 0) or 0)


class RemoteFile(io.RawIOBase):
    """Open object whose reads raise errors of the system.

    Parameters
    ----------
    url
        Where it lies, for messages.
    stream
        Open file of fsspec, which is closed with this one.
    """

    def __init__(self, url: str, stream: Any) -> None:
        self._url, self._stream = url, stream

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place."""
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        """Return the place."""
        return int(self._stream.tell())

    def read(self, size: int | None = -1) -> bytes:
        """Read some bytes, or the rest."""
        with as_os_error(self._url):
            return bytes(self._stream.read(-1 if size is None else size))

    def readall(self) -> bytes:
        """Read the rest."""
        return self.read()

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        with as_os_error(self._url):
            return int(self._stream.readinto(buffer))

    def close(self) -> None:
        """Close the object."""
        self._stream.close()
        super().close()
