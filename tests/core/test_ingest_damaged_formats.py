"""Damaged files of every format besides TIFF end in a fault: no traceback of a library and no hang."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ingest_samples import SPACING_NM, textured
from numpy.typing import NDArray
from reader_samples import SAMPLES, write_nifti
from volume_samples import write_bdv_hdf5, write_n5, write_ome_zarr, write_precomputed

from spherovem_core.errors import SpheroVemError
from spherovem_core.ingest import read_stack, survey_stack
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=SPACING_NM)
VOLUME = textured((4, 32, 32))
LONGEST_S = 20


def write_folder(write: Callable[..., None]) -> Callable[[Path, NDArray[Any]], None]:
    return lambda path, volume: write(path, volume, SPACING_NM)


WRITERS: dict[str, Callable[[Path, NDArray[Any]], None]] = {
    "a.mrc": SAMPLES["MRC"].write_slice,
    "a.dm3": SAMPLES["DigitalMicrograph"].write_slice,
    "a.dm4": SAMPLES["DigitalMicrograph"].write_slice,
    "a.nii": write_nifti,
    "a.nii.gz": write_nifti,
    "a.h5": SAMPLES["HDF5"].write_slice,
    "b.h5": write_folder(write_bdv_hdf5),
    "a.png": lambda path, volume: SAMPLES["PNG"].write_slice(path, volume[0]),
    "a.jp2": lambda path, volume: SAMPLES["JPEG 2000"].write_slice(path, volume[0]),
    "a.zarr": write_folder(write_ome_zarr),
    "a.n5": write_folder(write_n5),
    "a": write_folder(write_precomputed),
}


@contextmanager
def bounded_time() -> Iterator[None]:
    """Fail if the body hangs."""

    def stop(number: int, frame: object) -> None:
        raise AssertionError(f"no end after {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def damage(path: Path, rng: np.random.Generator) -> str:
    """Change one file: some bytes, a run of bytes, its end, or its length."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    # Metadata are small and few among the chunks: take them as often.
    texts = [each for each in files if each.suffix == ".json" or each.name == "info"]
    file = (
        files[rng.integers(len(files))]
        if not texts or rng.random() < 0.5
        else texts[rng.integers(len(texts))]
    )
    content = bytearray(file.read_bytes())
    way = rng.integers(4)
    # Headers lie at the beginning.
    reach = len(content) if rng.random() < 0.4 else min(len(content), 1200)
    if way == 0:
        for _ in range(rng.integers(1, 9)):
            content[rng.integers(reach)] = rng.integers(256)
    elif way == 1:
        start = int(rng.integers(reach))
        content[start : start + 8] = bytes(rng.integers(0, 256, 8).tolist())
    elif way == 2:
        start = int(rng.integers(reach))
        content[start : start + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"9999"])
    else:
        del content[int(rng.integers(len(content))) :]
    file.write_bytes(content)
    return file.name


def check_damaged(folder: Path, name: str, seeds: range) -> dict[str, int]:
    """Damage a file again and again; count how it ended."""
    ends = {"fault": 0, "read": 0}
    for seed in seeds:
        source = folder / str(seed) / name
        source.parent.mkdir()
        WRITERS[name](source, VOLUME)
        rng = np.random.default_rng(seed)
        file = damage(source, rng)
        with bounded_time():
            try:
                survey_stack(source, GIVEN)
                read_stack(source, GIVEN)
                ends["read"] += 1
            except SpheroVemError:
                ends["fault"] += 1
            except Exception as error:
                error.add_note(f"seed {seed}, {name}, {file}")
                raise
    return ends


@pytest.mark.parametrize("name", WRITERS)
def test_damage_ends_in_a_fault(tmp_path: Path, name: str) -> None:
    ends = check_damaged(tmp_path, name, range(12))
    assert ends["fault"]


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_damage_of_many_kinds_ends_in_a_fault(tmp_path: Path, name: str) -> None:
    ends = check_damaged(tmp_path, name, range(1000, 1400))
    assert ends["fault"]
