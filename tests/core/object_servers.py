"""Servers on loopback for the tests of sources that a URL names: a bucket (moto) and a web server that sends ranges."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STARTING_S = 60.0


def free_port() -> int:
    """Return a port that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*arguments: str, port: int, folder: Path | None = None) -> Iterator[None]:
    """Run a Python module as a server, and end it by its process id."""
    environment = {**os.environ, "AWS_ENDPOINT_URL": ""}
    server = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
    )
    try:
        end = time.monotonic() + STARTING_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > end or server.poll() is not None:
                    raise
                time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def bucket_server() -> Iterator[str]:
    """Serve buckets; yield the endpoint."""
    port = free_port()
    with running("moto.server", "-H", "127.0.0.1", "-p", str(port), port=port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Serve a folder with listings and ranges; yield its URL."""
    port = free_port()
    with running("RangeHTTPServer", str(port), "--bind", "127.0.0.1", port=port, folder=folder):
        yield f"http://127.0.0.1:{port}"


def access(endpoint: str) -> dict[str, str]:
    """Return the variables with which clients reach the bucket server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        # No request for a role to the network of a cloud.
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
