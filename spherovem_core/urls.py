"""URLs that are kept as paths: ``Path`` writes ``s3://bucket/key`` as ``s3:/bucket/key``."""

import re
from pathlib import Path

SCHEMES = ("s3", "http", "https")
"""Schemes of sources that are read over the network."""

_URL = re.compile(rf"({'|'.join(SCHEMES)}):/+(.*)", re.DOTALL)


def url_of(path: Path) -> str | None:
    """Return the URL that a path stands for; None if it is a path on disk."""
    text = str(path)
    if text[:1] not in "sh":
        return None
    found = _URL.fullmatch(text)
    return f"{found[1]}://{found[2]}" if found else None


def is_remote(path: Path) -> bool:
    """Return whether a path stands for a URL."""
    return url_of(path) is not None


def is_web(path: Path) -> bool:
    """Return whether a path stands for an address on a web server, and not for a bucket."""
    return (url_of(path) or "").startswith("http")


def shown(path: Path) -> str:
    """Write a path or URL for messages."""
    return url_of(path) or str(path)


def absolute(path: Path) -> Path:
    """Return the absolute path; a URL as it is."""
    return path if is_remote(path) else path.absolute()


def holds_credentials(path: Path) -> bool:
    """Return whether a URL names a user or has a query, such as a signature: it would be kept in the history."""
    url = url_of(path)
    if url is None:
        return False
    host = url.partition("://")[2].partition("/")[0]
    return "@" in host or (not url.startswith("s3") and "?" in url)
