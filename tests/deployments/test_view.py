"""``spherovem view`` serves a volume to Neuroglancer and opens it in napari."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import imagecodecs
import numpy as np
import pytest
from foreign_environments import make_environment
from results_scenes import SHAPE, SPACING, cells, contents, image, write_results

from deployments.command_line.main import main
from deployments.viewing.clients import PUBLIC_CLIENT
from deployments.viewing.layers import value_range, volume_layers
from deployments.viewing.neuroglancer import viewer_link, viewer_state
from deployments.viewing.serving import FileServer, wanted_range
from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.store import Layout, open_array

BASE = "http://127.0.0.1:1234/secret/volume.zarr"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return write_results(tmp_path_factory.mktemp("results") / "spheroid 7")


@pytest.fixture(scope="module")
def server(results: Layout) -> Iterator[FileServer]:
    with FileServer(results.volume, PUBLIC_CLIENT) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    server: FileServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send a request with its path unchanged; other clients normalise it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def inside(server: FileServer, path: str) -> str:
    return f"{urlsplit(server.url).path}/{path}"


def test_a_chunk_can_be_read_through_its_shard(server: FileServer) -> None:
    """Read as a viewer does: metadata, the index at the end of a shard, the bytes of one chunk."""
    folder = "registered/labels/cells/0"
    status, headers, content = ask(server, inside(server, f"{folder}/zarr.json"))
    assert (status, headers["Content-Type"]) == (200, "application/json")
    sharding = json.loads(content)["codecs"][0]["configuration"]
    shard = json.loads(content)["chunk_grid"]["configuration"]["chunk_shape"]
    chunk = sharding["chunk_shape"]
    count = int(np.prod([s // c for s, c in zip(shard, chunk, strict=True)]))
    length = 16 * count + 4
    shard_file = inside(server, f"{folder}/c/0/1/1")
    status, headers, tail = ask(server, shard_file, Range=f"bytes=-{length}")
    assert (status, len(tail)) == (206, length)
    size = int(headers["Content-Range"].rpartition("/")[2])
    assert headers["Content-Range"] == f"bytes {size - length}-{size - 1}/{size}"
    offset, stored = np.frombuffer(tail[:16], "<u8").tolist()
    status, _, packed = ask(server, shard_file, Range=f"bytes={offset}-{offset + stored - 1}")
    assert (status, len(packed)) == (206, stored)
    values = np.frombuffer(imagecodecs.blosc_decode(packed), "<u4").reshape(chunk)
    expected = cells()[: chunk[0], shard[1] : shard[1] + chunk[1], shard[2] : shard[2] + chunk[2]]
    assert (expected == 70_001).any()
    np.testing.assert_array_equal(values[tuple(map(slice, expected.shape))], expected)


def test_whole_files_heads_and_open_ranges_are_served(server: FileServer, results: Layout) -> None:
    content = (results.volume / "raw/0/c/0/0/0").read_bytes()
    path = inside(server, "raw/0/c/0/0/0")
    status, headers, whole = ask(server, path)
    assert (status, whole, headers["Accept-Ranges"]) == (200, content, "bytes")
    status, headers, nothing = ask(server, path, "HEAD")
    assert (status, nothing, headers["Content-Length"]) == (200, b"", str(len(content)))
    assert ask(server, path, Range="bytes=100-")[::2] == (206, content[100:])
    assert ask(server, path, Range=f"bytes=0-{len(content)}")[::2] == (200, content)
    status, headers, _ = ask(server, path, Range=f"bytes={len(content)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(content)}")


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        (None, 10, (0, 10)),
        ("bytes=2-5", 10, (2, 6)),
        ("bytes=2-99", 10, (2, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-30", 10, (0, 10)),
        ("bytes=-0", 10, None),
        ("bytes=10-", 10, None),
        ("bytes=5-2", 10, None),
        ("bytes=-", 10, (0, 10)),
        ("bytes=0-1,4-5", 10, (0, 10)),
        ("lines=1-2", 10, (0, 10)),
        ("bytes=-3", 0, None),
    ],
)
def test_range_headers_become_byte_ranges(
    header: str | None, size: int, expected: tuple[int, int] | None
) -> None:
    assert wanted_range(header, size) == expected


def test_only_the_page_of_the_viewer_may_read(server: FileServer) -> None:
    path = inside(server, "zarr.json")
    status, headers, _ = ask(server, path, Origin="https://elsewhere.example")
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == PUBLIC_CLIENT
    status, headers, content = ask(server, path, "OPTIONS", Origin=PUBLIC_CLIENT)
    assert (status, content) == (204, b"")
    assert headers["Access-Control-Allow-Headers"] == "Range"
    assert headers["Access-Control-Allow-Private-Network"] == "true"
    assert ask(server, path, Host="rebound.example")[0] == 403
    assert ask(server, path, "OPTIONS", Host="rebound.example")[0] == 403
    assert ask(server, path, Host=f"localhost:{server.server_port}")[0] == 200
    assert ask(server, path, "POST")[0] == 501


def test_only_this_machine_is_served(server: FileServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "path",
    [
        "../provenance.json",
        "raw/../../provenance.json",
        "%2e%2e/provenance.json",
        "raw%2f..%2f..%2fprovenance.json",
        "..%5cprovenance.json",
        "//etc/passwd",
        "%00",
        "raw/0/c",
        "raw",
        "",
        "./zarr.json",
        "nowhere",
        "link/provenance.json",
    ],
)
def test_nothing_outside_the_volume_is_served(server: FileServer, results: Layout, path: str) -> None:
    assert results.provenance.is_file()
    link = results.volume / "link"
    if not link.is_symlink():
        link.symlink_to(results.folder)
    status, _, content = ask(server, inside(server, path))
    assert (status, content) == (404, b"")


@pytest.mark.parametrize(
    "path", ["/", "/volume.zarr/zarr.json", "/guess/volume.zarr/zarr.json", "//", "/%C3%A9"]
)
def test_the_secret_is_needed(server: FileServer, path: str) -> None:
    status, _, content = ask(server, path)
    assert (status, content) == (404, b"")


def test_a_missing_chunk_is_a_404_that_the_viewer_may_read(server: FileServer) -> None:
    status, headers, _ = ask(server, inside(server, "raw/0/c/99/0/0"))
    assert status == 404
    assert headers["Access-Control-Allow-Origin"] == PUBLIC_CLIENT


def test_layers_show_the_latest_image_and_the_labels(results: Layout) -> None:
    layers = {layer.name: layer for layer in volume_layers(results)}
    assert list(layers) == [
        "registered",
        "denoised",
        "raw",
        "cells",
        "nuclei",
        "nanoparticles",
        "specimen",
        "distance_to_nucleus",
        "nanoparticle_posterior",
    ]
    visible = [name for name, layer in layers.items() if layer.visible]
    assert visible == ["registered", "cells", "nuclei", "nanoparticles"]
    low, high = layers["registered"].value_range or (0, 0)
    assert image().min() <= low < high <= image().max()
    assert layers["cells"].value_range is None
    assert layers["nanoparticle_posterior"].value_range == (0, 1)
    assert [level.shape for level in layers["cells"].levels] == [SHAPE, (12, 80, 70)]


def test_an_unfinished_acquisition_shows_its_complete_images(tmp_path: Path) -> None:
    layout = write_results(tmp_path / "a", until="denoising")
    assert [(layer.name, layer.visible) for layer in volume_layers(layout)] == [
        ("denoised", True),
        ("raw", False),
    ]
    (layout.volume / "denoised/0/c/0/0/0").unlink()
    assert [layer.name for layer in volume_layers(layout)] == ["raw"]
    with pytest.raises(IncompleteArtifactError, match="no complete image"):
        volume_layers(Layout(tmp_path / "b"))


def test_the_range_of_a_field_ignores_nan(results: Layout) -> None:
    assert value_range(open_array(results, "distance_to_nucleus")) == (0.5, 1.5)


def check_state(state: dict[str, Any], layout: Layout) -> None:
    """Check that each layer names an image of the volume, in a type that Neuroglancer knows."""
    assert state["dimensions"] == {
        "x": [SPACING[2] * 1e-9, "m"],
        "y": [SPACING[1] * 1e-9, "m"],
        "z": [SPACING[0] * 1e-9, "m"],
    }
    assert state["position"] == [SHAPE[2] / 2, SHAPE[1] / 2, SHAPE[0] / 2]
    assert state["layout"] == "4panel"
    for layer in state["layers"]:
        scheme, _, address = layer["source"].partition("://")
        group = address.removeprefix(f"{BASE}/").rstrip("/")
        assert scheme == "zarr"
        metadata = json.loads((layout.volume / group / "zarr.json").read_text())
        assert metadata["attributes"]["ome"]["multiscales"]
        expected = "segmentation" if "/labels/" in group or group == "specimen" else "image"
        assert layer["type"] == expected
        assert contents()[group][1].dtype.name in ("uint8", "uint16", "uint32", "float32")
        if expected == "image":
            low, high = layer["shaderControls"]["normalized"]["range"]
            assert low < high
            assert "#uicontrol invlerp normalized" in layer["shader"]


def test_the_link_carries_the_state_of_all_known_types(results: Layout) -> None:
    state = viewer_state(volume_layers(results), BASE)
    check_state(state, results)
    assert [layer["name"] for layer in state["layers"]] == [
        "registered",
        "denoised",
        "raw",
        "cells",
        "nuclei",
        "nanoparticles",
        "specimen",
        "distance_to_nucleus",
    ]
    link = viewer_link(f"{PUBLIC_CLIENT}/", state)
    address, _, fragment = link.partition("#!")
    assert address == f"{PUBLIC_CLIENT}/"
    assert json.loads(unquote(fragment)) == state
    assert not set(fragment) & set(' "<>{}|\\^`#')


@pytest.mark.environment
def test_neuroglancer_accepts_every_part_of_the_state(results: Layout, tmp_path: Path) -> None:
    """Its Python package refuses or drops the parts of a state that it does not know."""
    state = viewer_state(volume_layers(results), BASE)
    python = make_environment(tmp_path / "neuroglancer", "neuroglancer")
    script = (
        "import json, sys, neuroglancer\n"
        "print(json.dumps(neuroglancer.ViewerState(json.load(sys.stdin)).to_json()))"
    )
    done = subprocess.run(
        [python, "-c", script], input=json.dumps(state), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == state


def test_the_command_serves_until_it_is_interrupted(results: Layout) -> None:
    command = [sys.executable, "-m", "deployments.command_line", "view", str(results.folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        volume = lines[0].removeprefix("volume: ").strip()
        link = lines[2].removeprefix("open:   ").strip()
        state = json.loads(unquote(link.partition("#!")[2]))
        assert state["layers"][0]["source"] == f"zarr://{volume}/registered/"
        place = urlsplit(volume)
        connection = http.client.HTTPConnection(place.netloc, timeout=20)
        connection.request("GET", f"{place.path}/registered/zarr.json")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        os.kill(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.endswith("ended\n")
    assert error == ""


class FakeNapari:
    """Stand-in for napari that keeps the layers added to it."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, list[Any], dict[str, Any]]] = []
        self.ran = False
        self.scale_bar = self

    def Viewer(self, title: str) -> "FakeNapari":  # noqa: N802
        self.title = title
        return self

    def add_image(self, levels: list[Any], **options: Any) -> None:
        self.shown.append(("image", levels, options))

    def add_labels(self, levels: list[Any], **options: Any) -> None:
        self.shown.append(("labels", levels, options))

    def run(self) -> None:
        self.ran = True


def test_napari_gets_pyramids_in_micrometres(results: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    napari = FakeNapari()
    monkeypatch.setitem(sys.modules, "napari", napari)
    assert main(["view", str(results.folder), "--with", "napari"]) == 0
    assert napari.ran
    assert napari.title == "spheroid 7"
    names = [options["name"] for _, _, options in napari.shown]
    assert names[:4] == ["raw", "denoised", "registered", "cells"]
    kind, levels, options = napari.shown[3]
    assert kind == "labels"
    assert options["scale"] == (0.05, 0.01, 0.01)
    assert [level.shape for level in levels] == [SHAPE, (12, 80, 70)]
    np.testing.assert_array_equal(levels[0][:], cells())
    assert napari.shown[2][2]["contrast_limits"][0] < napari.shown[2][2]["contrast_limits"][1]


def test_without_napari_the_message_says_how_to_install_it(
    results: Layout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "napari", None)
    assert main(["view", str(results.folder), "--with", "napari"]) == 1
    assert "pip install 'napari[all]'" in capsys.readouterr().err


def test_bad_arguments_are_refused(
    results: Layout, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", str(tmp_path / "nowhere")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert main(["view", str(results.folder), "--port", str(server.server_port)]) == 2
    assert "cannot be used" in capsys.readouterr().err
    assert main(["view", str(results.folder), "--client", "ftp://x"]) == 2
    assert main(["view", str(tmp_path)]) == 1
    assert "no complete image" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "reported"), [(BrokenPipeError(), False), (ZeroDivisionError(), True)])
def test_a_closed_connection_is_not_reported(
    results: Layout, error: Exception, reported: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with FileServer(results.volume, PUBLIC_CLIENT) as server:
        try:
            raise error
        except Exception:
            server.handle_error(None, ("127.0.0.1", 1))
    assert bool(capsys.readouterr().err) == reported
