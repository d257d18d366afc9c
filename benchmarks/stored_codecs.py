"""Bytes of finished results under the codecs that were considered, their rates, and the effect of rounding distances.

    python benchmarks/stored_codecs.py RESULTS

Processor time of one thread. Distances are rounded to several steps; the effect is that on the mean and the smallest distance of
each nanoparticle, and on the number of its voxels at distance 0, which mark a nucleus.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.rounding import power_of_two_below, round_to
from spherovem_core.spacing import spacing_um
from spherovem_core.spatial import distance_step_um
from spherovem_core.store import Layout, open_array
from spherovem_core.store.codecs import Codec
from spherovem_core.store.layout import DISTANCE, NANOPARTICLES, RAW, REGISTERED, labels_group
from spherovem_core.store.reading import StoredArray

CODECS = tuple(Codec(level, shuffled) for shuffled in (False, True) for level in (1, 3, 5))
SLICES = 24


def chunks_of(stored: StoredArray, values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    extents = stored.array.chunks
    for start in itertools.product(*(range(0, n, c) for n, c in zip(values.shape, extents, strict=True))):
        chunk = np.full(extents, stored.array.fill_value, values.dtype)
        part = values[tuple(slice(a, a + c) for a, c in zip(start, extents, strict=True))]
        chunk[tuple(map(slice, part.shape))] = part
        yield chunk


def compare(name: str, stored: StoredArray, values: NDArray[Any], raw_bytes: float) -> None:
    chunks = list(chunks_of(stored, values))
    plain = sum(chunk.nbytes for chunk in chunks)
    for codec in CODECS:
        began = time.process_time()
        size = sum(len(codec.encode(chunk)) for chunk in chunks)
        rate = plain / 1e6 / (time.process_time() - began)
        print(f"{name:34s} {codec.name:16s} {size / raw_bytes:7.4f} x raw {rate:7.0f} MB/s")


def compare_rounding(layout: Layout) -> None:
    stored, labels = open_array(layout, DISTANCE), open_array(layout, NANOPARTICLES)[:]
    values = stored[:]
    if labels.shape != values.shape:
        print("particles lie on a finer grid than distances: the effect of rounding is not measured")
        return
    inside = (labels > 0) & np.isfinite(values)
    own, exact = labels[inside], values[inside]
    step = distance_step_um(stored.spacing_nm)
    for each in (step / 2, step, 2 * step):
        found = round_to(exact, each)
        count = np.bincount(own)[np.unique(own)]
        shift = np.bincount(own, (found - exact).astype(np.float64))[np.unique(own)] / count
        at_zero = int(((found == 0) != (exact == 0)).sum())
        print(
            f"step {each * 1000:.2f} nm: mean distance of {len(count)} particles moves by "
            f"{np.abs(shift).max() * 1000:.2f} nm at most, "
            f"{np.sqrt((shift**2).mean()) * 1000:.2f} nm (rms), {shift.mean() * 1000:+.3f} nm (mean); a voxel by "
            f"{np.abs(found - exact).max() * 1000:.2f} nm at most; {at_zero} voxels change between 0 and not 0"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    layout = Layout(parser.parse_args().results.absolute())
    raw = open_array(layout, RAW)
    for group in (labels_group("cells"), labels_group("nuclei"), NANOPARTICLES):
        stored = open_array(layout, group)
        compare(group, stored, stored[:], raw.array.nbytes)
    for group in (RAW, REGISTERED):
        stored = open_array(layout, group)
        part = stored[:SLICES]
        compare(f"{group}, {len(part)} slices", stored, part, raw.array.nbytes)
    stored = open_array(layout, DISTANCE)
    values = stored[:]
    compare(f"{DISTANCE} as measured", stored, values, raw.array.nbytes)
    quarter = power_of_two_below(min(spacing_um(stored.spacing_nm)) / 4)
    for step in (quarter / 2, quarter):
        compare(f"{DISTANCE}, {step * 1000:.2f} nm", stored, round_to(values, step), raw.array.nbytes)
    compare_rounding(layout)


if __name__ == "__main__":
    main()
