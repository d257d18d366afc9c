"""A server that fails in the middle of a volume: a fault of the network, in every format, never taken for a damaged file."""

import errno
import pickle
import socket
import struct
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ingest_samples import SPACING_NM, textured
from RangeHTTPServer import RangeRequestHandler
from served_samples import write_every_format

from spherovem_core.errors import RemoteAccessError, RemoteSourceError
from spherovem_core.ingest import read_stack
from spherovem_core.ingest.reader import is_of_system
from spherovem_core.parameters import IngestParameters

QUICK = ["slices", "a.zarr", "a.h5"]
SLOW = ["a.mrc", "a.dm4", "a.nii.gz", "png", "a.n5", "pc"]


class FailingServer(RangeRequestHandler):
    """Server of files that fails after `left` requests, in the way `fault`."""

    left, fault, count = 10**9, "", 0
    lock = threading.Lock()

    def do_GET(self) -> None:  # noqa: N802
        with FailingServer.lock:
            FailingServer.count += 1
            number = FailingServer.count
        if number <= self.left:
            super().do_GET()
            return
        self.close_connection = True
        if self.fault == "reset":
            # An answer of nothing but a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif self.fault == "cut":
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Content-Length", "100000")
            self.send_header("Content-Range", "bytes 0-99999/200000")
            self.end_headers()
            self.wfile.write(bytes(10))
        else:
            self.send_error(int(self.fault))

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, volume = tmp_path_factory.mktemp("files"), textured(dtype="uint16")
    write_every_format(folder, volume)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(FailingServer, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NO_PROXY", "127.0.0.1")
        yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def requests_of(source: Path, parameters: IngestParameters) -> int:
    """Read a source from a server that answers, and count the requests."""
    FailingServer.left, FailingServer.count = 10**9, 0
    read_stack(source, parameters)
    return FailingServer.count


@pytest.mark.parametrize("fault", ["reset", "500", "cut"])
@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_server_that_fails_is_not_taken_for_damage(address: str, name: str, fault: str) -> None:
    source = Path(f"{address}/{name}")
    parameters = IngestParameters(spacing_nm=SPACING_NM if name in ("slices", "png") else None)
    # Readers with threads of their own do not always ask the same number of times.
    total = min(requests_of(source, parameters) for _ in range(3))
    for left in (total // 4, total // 2, 3 * total // 4, total - 2):
        FailingServer.left, FailingServer.fault, FailingServer.count = left, fault, 0
        with pytest.raises(RemoteSourceError, match=r"network|server") as raised:
            read_stack(source, parameters)
        assert raised.value.errno == errno.EIO
        assert "damaged" not in str(raised.value)
        assert "Errno" not in str(raised.value)


@pytest.mark.parametrize("name", QUICK)
def test_a_server_that_refuses_is_not_taken_for_damage(address: str, name: str) -> None:
    source = Path(f"{address}/{name}")
    parameters = IngestParameters(spacing_nm=SPACING_NM if name == "slices" else None)
    FailingServer.left, FailingServer.fault = requests_of(source, parameters) // 2, "403"
    FailingServer.count = 0
    with pytest.raises(RemoteAccessError, match="access denied; check the credentials"):
        read_stack(source, parameters)


@pytest.mark.parametrize("kind", [RemoteSourceError, RemoteAccessError])
def test_a_fault_of_the_network_keeps_its_number_between_processes(kind: type[OSError]) -> None:
    error = pickle.loads(pickle.dumps(kind("the server of s3://a failed")))
    assert error.errno
    assert str(error) == "the server of s3://a failed"
    assert is_of_system(error)
    assert is_of_system(TimeoutError("no number"))
    assert not is_of_system(OSError("Can't synchronously read data"))
