"""Web server for the files of a volume, on loopback only and under a secret address."""

import mimetypes
import re
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit

HOST = "127.0.0.1"
COPY_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class FileServer(ThreadingHTTPServer):
    """Web server that gives the files of one folder to a viewer in a browser of this machine.

    Every address begins with a secret. Only pages of the client's origin can read the answers. Requests under another host
    name are refused, so that no page reaches the files through a name that it controls (DNS rebinding).

    Parameters
    ----------
    folder
        Folder to serve; links that lead out of it are not followed.
    client
        Address of the page that may read the files.
    port
        Port on 127.0.0.1; 0 takes a free one.
    """

    daemon_threads = True

    def __init__(self, folder: Path, client: str, port: int = 0) -> None:
        self.folder = folder.resolve()
        page = urlsplit(client)
        self.origin = f"{page.scheme}://{page.netloc}"
        self.secret = secrets.token_urlsafe(12)
        super().__init__((HOST, port), FileRequest)

    @property
    def host(self) -> str:
        """The host and port, as a browser names them."""
        return f"{HOST}:{self.server_port}"

    @property
    def url(self) -> str:
        """The address of the folder, without a slash at the end."""
        return f"http://{self.host}/{self.secret}/{quote(self.folder.name)}"

    def find(self, path: str) -> Path | None:
        """Return the file that a request names; None unless it is a file inside the folder."""
        secret, _, rest = path.removeprefix("/").partition("/")
        name, _, inside = rest.partition("/")
        if (
            not secrets.compare_digest(secret.encode(), self.secret.encode())
            or unquote(name) != self.folder.name
        ):
            return None
        parts = unquote(inside).split("/")
        if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
            return None
        file = self.folder.joinpath(*parts).resolve()
        return file if file.is_relative_to(self.folder) and file.is_file() else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report errors except closed connections: viewers drop requests when the user scrolls on."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class FileRequest(BaseHTTPRequestHandler):
    """Handler of GET, HEAD and OPTIONS requests."""

    server: FileServer
    protocol_version = "HTTP/1.1"
    server_version = "spherovem"
    sys_version = ""

    def do_GET(self) -> None:
        """Send a file or a range of it."""
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        """Send the headers of a GET without the content."""
        self._answer(with_content=False)

    def do_OPTIONS(self) -> None:
        """Allow the viewer's page to ask for ranges."""
        if self._is_refused():
            return
        self.send_response(HTTPStatus.NO_CONTENT)
        self.send_header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        self.send_header("Access-Control-Allow-Headers", "Range")
        self.send_header("Access-Control-Allow-Private-Network", "true")
        self.end_headers()

    def end_headers(self) -> None:
        """Add the one origin whose pages may read the answer."""
        self.send_header("Access-Control-Allow-Origin", self.server.origin)
        self.send_header("Access-Control-Expose-Headers", "Content-Range, Content-Length, Accept-Ranges")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: a viewer asks for thousands of chunks."""

    def _is_refused(self) -> bool:
        if self.headers.get("Host") in (self.server.host, f"localhost:{self.server.server_port}"):
            return False
        self._send_nothing(HTTPStatus.FORBIDDEN)
        return True

    def _answer(self, *, with_content: bool) -> None:
        if self._is_refused():
            return
        found = self.server.find(urlsplit(self.path).path)
        if found is None:
            self._send_nothing(HTTPStatus.NOT_FOUND)
            return
        with found.open("rb") as file:
            size = found.stat().st_size
            part = wanted_range(self.headers.get("Range"), size)
            if part is None:
                self._send_nothing(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{size}")
                return
            start, stop = part
            whole = (start, stop) == (0, size)
            self.send_response(HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT)
            self.send_header(
                "Content-Type", mimetypes.guess_type(found.name)[0] or "application/octet-stream"
            )
            self.send_header("Content-Length", str(stop - start))
            self.send_header("Accept-Ranges", "bytes")
            if not whole:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            self.end_headers()
            if with_content:
                self._copy(file, start, stop)

    def _copy(self, file: BinaryIO, start: int, stop: int) -> None:
        file.seek(start)
        left = stop - start
        try:
            while left:
                content = file.read(min(COPY_BYTES, left))
                if not content:
                    # The file was replaced by a shorter one: the announced length cannot be sent.
                    self.close_connection = True
                    return
                self.wfile.write(content)
                left -= len(content)
        except ConnectionError:
            self.close_connection = True

    def _send_nothing(self, status: HTTPStatus, content_range: str = "") -> None:
        self.send_response(status)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.send_header("Content-Length", "0")
        self.end_headers()


def wanted_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the bytes that a Range header asks for, as start and stop; None where they lie outside the file.

    The range is the whole file without a header, and with one that asks for several ranges or for other units than bytes.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not any(match.groups()):
        return 0, size
    first, last = match.groups()
    if not first:
        length = int(last)
        return (max(0, size - length), size) if length and size else None
    start = int(first)
    stop = min(size, int(last) + 1) if last else size
    return (start, stop) if start < size and start < stop else None
