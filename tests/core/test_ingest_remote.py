"""Sources in a bucket and on a web server: the same values as on disk, digests, faults, and no credentials anywhere."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ingest_samples import SHAPE, SPACING_NM, textured, write_slices
from object_servers import access, bucket_server, web_server
from served_samples import write_every_format
from volume_samples import write_ome_zarr

from spherovem_core.errors import AcquisitionError, BadSlicesError, NoSlicesError, ParameterError
from spherovem_core.ingest import open_stack, read_stack, remote, source_digest
from spherovem_core.ingest.description_draft import write_draft
from spherovem_core.ingest.source_files import acquisition_name, source_exists
from spherovem_core.parameters import IngestParameters
from spherovem_core.urls import absolute, shown, url_of

GIVEN = IngestParameters(spacing_nm=SPACING_NM)
QUICK = ["slices", "a.zarr", "a.n5", "a.h5"]
SLOW = ["packed", "pc", "a.mrc", "a.dm4", "a.nii.gz", "png"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same volume in many formats."""
    folder, volume = tmp_path_factory.mktemp("files"), textured(dtype="uint16")
    write_slices(folder / "packed", volume, compression="zlib")
    write_every_format(folder, volume)
    return folder


@pytest.fixture(scope="module")
def bucket(files: Path) -> Iterator[Any]:
    """The files in the bucket ``microscope``; yields the client."""
    with bucket_server() as endpoint, pytest.MonkeyPatch.context() as environment:
        for name, value in access(endpoint).items():
            environment.setenv(name, value)
        remote.forget_connections()
        import s3fs

        client = s3fs.S3FileSystem(skip_instance_cache=True)
        client.mkdir("microscope")
        client.put(f"{files}/", "microscope/data/", recursive=True)
        yield client
        remote.forget_connections()


@pytest.fixture(scope="module")
def web(files: Path) -> Iterator[str]:
    with web_server(files) as url:
        yield url


def parameters_for(name: str) -> IngestParameters:
    return GIVEN if name in ("slices", "packed", "png") else IngestParameters()


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_volume_in_a_bucket_is_the_same(bucket: Any, name: str) -> None:
    acquired = read_stack(Path(f"s3://microscope/data/{name}"), parameters_for(name))
    assert acquired.image.tobytes() == textured(dtype="uint16").tobytes()
    assert acquired.spacing_nm == SPACING_NM


@pytest.mark.parametrize("name", ["slices", "a.zarr", "a.n5"])
def test_a_bucket_may_be_the_volume(bucket: Any, files: Path, name: str) -> None:
    own = f"volume-{name.replace('.', '-')}"
    bucket.mkdir(own)
    bucket.put(f"{files / name}/", f"{own}/", recursive=True)
    acquired = read_stack(Path(f"s3://{own}"), parameters_for(name))
    assert acquired.image.tobytes() == textured(dtype="uint16").tobytes()
    assert source_digest(Path(f"s3://{own}"))


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_volume_on_a_web_server_is_the_same(web: str, name: str) -> None:
    acquired = read_stack(Path(f"{web}/{name}"), parameters_for(name))
    assert acquired.image.tobytes() == textured(dtype="uint16").tobytes()
    assert acquired.spacing_nm == SPACING_NM


def test_the_working_folder_is_not_around_a_url(
    bucket: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files / "a.n5")
    stack = open_stack(Path("s3://microscope/data/a.n5"), IngestParameters())
    assert stack.metadata["dataset"] == "volumes/raw/s0"


def test_the_digest_in_a_bucket_follows_content(bucket: Any) -> None:
    source = Path("s3://microscope/digests")
    bucket.cp("microscope/data/slices", "microscope/digests", recursive=True)
    digest = source_digest(source)
    bucket.pipe("microscope/digests/slice_0003.tif", bucket.cat("microscope/digests/slice_0003.tif"))
    assert source_digest(source) == digest
    bucket.pipe("microscope/digests/acquisition.json", b"{}")
    assert source_digest(source) != digest
    bucket.rm("microscope/digests/acquisition.json")
    bucket.pipe("microscope/digests/slice_0003.tif", bucket.cat("microscope/digests/slice_0004.tif"))
    assert source_digest(source) != digest


def test_the_description_in_a_bucket_counts(bucket: Any) -> None:
    bucket.cp("microscope/data/slices", "microscope/described", recursive=True)
    bucket.pipe("microscope/described/acquisition.json", b'{"spacing_nm": [40, 8, 9]}')
    assert open_stack(Path("s3://microscope/described"), IngestParameters()).spacing_nm == (40.0, 8.0, 9.0)


def test_absent_and_cut_objects_are_named(bucket: Any, web: str, files: Path) -> None:
    bucket.cp("microscope/data/a.zarr", "microscope/cut.zarr", recursive=True)
    bucket.rm("microscope/cut.zarr/0/c/1/0/0")
    with pytest.raises(
        BadSlicesError, match=r"cut.zarr page 3, cut.zarr page 4: 1 of its 2 chunks are not there"
    ):
        open_stack(Path("s3://microscope/cut.zarr"), IngestParameters())
    bucket.pipe("microscope/cut.mrc", bucket.cat("microscope/data/a.mrc")[:20000])
    with pytest.raises(BadSlicesError, match=r"cut.mrc page 4.*: truncated"):
        open_stack(Path("s3://microscope/cut.mrc"), GIVEN)
    write_ome_zarr(files / "cut.zarr", textured(), SPACING_NM, chunks=(2, 20, 64))
    (files / "cut.zarr/0/c/1/0/0").unlink()
    with pytest.raises(
        BadSlicesError, match=r"cut.zarr page 3, cut.zarr page 4: the chunk 0/c/1/0/0 is not there"
    ):
        read_stack(Path(f"{web}/cut.zarr"), IngestParameters())


def test_a_description_to_complete_is_not_written_to_a_server(web: str) -> None:
    with pytest.raises(
        AcquisitionError, match=rf"{web}/slices/acquisition.json is not on disk.*write it by hand"
    ):
        write_draft(Path(f"{web}/slices"), {})


def test_the_file_of_a_source_is_looked_for_wherever_it_lies(bucket: Any, web: str, files: Path) -> None:
    for root in (str(files), web, "s3://microscope/data"):
        assert source_exists(Path(f"{root}/a.h5/raw"))
        assert not source_exists(Path(f"{root}/b.h5/raw"))


def test_what_is_not_there_is_one_clear_error(bucket: Any, web: str) -> None:
    for url in ("s3://microscope/nowhere", "s3://no-such-bucket/a", f"{web}/nowhere"):
        with pytest.raises(NoSlicesError, match=rf"^{url} does not exist; expected"):
            open_stack(Path(url), GIVEN)


def test_a_server_that_lists_no_folder_is_named(tmp_path: Path) -> None:
    class Unlisted(SimpleHTTPRequestHandler):
        def list_directory(self, path: Any) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    write_ome_zarr(tmp_path / "a.zarr", textured(), SPACING_NM)
    handler = partial(Unlisted, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(AcquisitionError, match="lists no files there"):
                source_digest(Path(f"http://127.0.0.1:{server.server_port}/a.zarr"))
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_is_away_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match=r"http://127.0.0.1:9/a.mrc"):
        open_stack(Path("http://127.0.0.1:9/a.mrc"), GIVEN)


@pytest.mark.parametrize(
    "url", ["https://user:secret@host/a.mrc", "https://host/a.mrc?X-Amz-Signature=secret"]
)
def test_a_url_with_credentials_is_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ParameterError, match="names a user or has a query") as raised:
        open_stack(Path(url), GIVEN)
    assert "secret" not in str(raised.value)
    with pytest.raises(ParameterError, match="names a user or has a query"):
        source_exists(Path(url))


def test_urls_survive_as_paths() -> None:
    path = Path("s3://microscope/data/a.zarr")
    assert url_of(path) == shown(path) == "s3://microscope/data/a.zarr"
    assert absolute(path) == path
    assert url_of(path / "0") == "s3://microscope/data/a.zarr/0"
    assert url_of(Path("s3/data")) is None
    assert url_of(Path("/data/s3:/x")) is None


def test_results_are_named_after_the_object(bucket: Any) -> None:
    assert acquisition_name(Path("s3://microscope/data/a.zarr")) == "a"
    assert acquisition_name(Path("s3://microscope/data/slices")) == "slices"
    assert acquisition_name(Path("s3://microscope/data/a.nii.gz")) == "a"


def test_a_window_of_an_object_is_exact(bucket: Any) -> None:
    stack = open_stack(Path("s3://microscope/data/a.mrc"), IngestParameters())
    np.testing.assert_array_equal(stack.read_slice(3), textured(dtype="uint16")[3])
    assert stack.shape == SHAPE
