"""Damaged TIFF files: sound ones of many kinds, each changed at a few places by a seed."""

import io
import signal
import struct
import tempfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import tifffile
from ingest_samples import textured

from spherovem_core.errors import SpheroVemError
from spherovem_core.ingest import read_stack
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=(50, 10, 12))
SHAPE = (3, 24, 32)
SPECIAL_TAGS = sorted(
    {*tifffile.TIFF.TAG_READERS, 256, 257, 258, 259, 270, 273, 277, 278, 279, 320, 322, 324, 330, 339, 347}
)
EXTREMES = (0, 1, 2, 7, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"metadata": None},
    {"metadata": {"axes": "ZYX"}},
    {"bigtiff": True, "byteorder": ">"},
    {"compression": "deflate", "rowsperstrip": 7, "metadata": None},
    {"compression": "lzw", "predictor": True},
    {"compression": "zstd", "tile": (16, 16)},
    {"compression": "packbits"},
    {"compression": "jpeg"},
    {"compression": "jpeg2000"},
    {
        "imagej": True,
        "resolution": (100.0, 100.0),
        "metadata": {"unit": "um", "spacing": 0.05, "axes": "ZYX"},
    },
    {
        "ome": True,
        "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.01, "PhysicalSizeY": 0.01, "PhysicalSizeZ": 0.05},
    },
    {"truncate": True},
    {"photometric": "miniswhite", "datetime": True},
)


HANGING_S = 120
"""Seconds after which a file counts as one that never ends."""


def _give_up(*_: object) -> None:
    raise TimeoutError(f"not read in {HANGING_S} s")


@dataclass(frozen=True)
class Outcome:
    """Outcome of reading one damaged file."""

    seed: int
    size: int
    seconds: float
    peak_bytes: int
    accepted: bool
    error: str = ""


def sound_files() -> list[bytes]:
    """Write one sound file of each kind."""
    files = []
    for number, options in enumerate(OPTIONS):
        options = {"photometric": "minisblack", **options}
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, textured(SHAPE, seed=number), **options)
        files.append(buffer.getvalue())
    return files


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a file at one to four places: bits, numbers, whole ranges, length."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        if not data:
            break
        # Directories and texts matter most; they lie at the start and at the end.
        where = int(rng.integers(len(data))) if rng.random() < 0.5 else int(rng.integers(min(len(data), 600)))
        kind = rng.integers(8)
        if kind == 0:
            data[where] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            width, code = ((2, "H"), (4, "I"), (8, "Q"))[rng.integers(3)]
            value = int(rng.choice(np.array(EXTREMES, np.uint64))) & (2 ** (8 * width) - 1)
            data[where : where + width] = struct.pack(f"{'<>'[rng.integers(2)]}{code}", value)
        elif kind == 2:
            data[where : where + int(rng.integers(1, 40))] = rng.bytes(int(rng.integers(0, 40)))
        elif kind == 3:
            del data[int(rng.integers(len(data))) :]
        elif kind == 4:
            other = int(rng.integers(len(data)))
            data[where : where + 12] = data[other : other + 12]
        elif kind == 7:
            damage_entry(data, rng)
        elif kind == 5:
            data[where : where + 4] = struct.pack("<I", int(rng.integers(max(1, len(data)))))
        else:
            data += data[where : where + 200]
    return bytes(data)


def damaged_outcomes(seeds: range) -> Iterator[Outcome]:
    """Read one damaged file per seed as a whole acquisition, in a folder that is removed afterwards."""
    files = sound_files()
    warm_up(files)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stack.tif"
        for seed in seeds:
            rng = np.random.default_rng(seed)
            content = damage(files[int(rng.integers(len(files)))], rng)
            path.write_bytes(content)
            yield read_damaged(path, seed, len(content))


def damage_entry(data: bytearray, rng: np.random.Generator) -> None:
    """Give an entry of the first directory a tag that libraries read in a way of its own, or another type, count or value."""
    if data[:4] != b"II*\0" or len(data) < 10:
        return
    (offset,) = struct.unpack("<I", data[4:8])
    (entries,) = struct.unpack("<H", (data[offset : offset + 2] + b"\0\0")[:2])
    entry = offset + 2 + 12 * int(rng.integers(max(1, entries)))
    part = rng.integers(4)
    if part == 0:
        data[entry : entry + 2] = struct.pack("<H", int(rng.choice(SPECIAL_TAGS)))
    elif part == 1:
        data[entry + 2 : entry + 4] = struct.pack("<H", int(rng.integers(20)))
    else:
        value = (
            int(rng.choice(np.array(EXTREMES, np.uint64)))
            if rng.random() < 0.5
            else int(rng.integers(len(data)))
        )
        data[entry + 4 * part - 4 : entry + 4 * part] = struct.pack("<I", value)


def warm_up(files: list[bytes]) -> None:
    """Read the sound files, so that imports and compiled functions count for no damaged one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stack.tif"
        for content in files:
            path.write_bytes(content)
            read_damaged(path, 0, len(content))


def read_damaged(path: Path, seed: int, size: int) -> Outcome:
    """Read a file; measure time and memory, and catch what is no error of this project."""
    error, accepted = "", False
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(HANGING_S)
    tracemalloc.start()
    start = monotonic()
    try:
        read_stack(path, GIVEN)
        accepted = True
    except SpheroVemError as found:
        error = "" if len(str(found)) < 20_000 else f"a message of {len(str(found))} letters"
    except Exception as found:  # any other is what the test looks for
        error = f"{type(found).__name__}: {found}"[:300]
    signal.alarm(0)
    seconds, (_, peak) = monotonic() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Outcome(seed, size, seconds, peak, accepted, error)
