"""One volume in every format that is read from buckets and servers."""

from pathlib import Path
from typing import Any

from ingest_samples import SPACING_NM, write_slices
from numpy.typing import NDArray
from reader_samples import SAMPLES, write_nifti
from volume_samples import write_n5, write_ome_zarr, write_precomputed


def write_every_format(folder: Path, volume: NDArray[Any]) -> None:
    """Write TIFF and PNG slices (``slices``, ``png``), and one file or folder per format of volumes (``a.*``, ``pc``)."""
    write_slices(folder / "slices", volume)
    write_ome_zarr(folder / "a.zarr", volume, SPACING_NM, chunks=(2, 20, 64))
    write_n5(folder / "a.n5", volume, SPACING_NM)
    write_precomputed(folder / "pc", volume, SPACING_NM)
    for name, suffix in [("MRC", ".mrc"), ("HDF5", ".h5"), ("DigitalMicrograph", ".dm4")]:
        SAMPLES[name].write_with_spacing(folder / f"a{suffix}", volume, SPACING_NM)  # type: ignore[misc]
    write_nifti(folder / "a.nii.gz", volume, SPACING_NM)
    (folder / "png").mkdir()
    for z, values in enumerate(volume):
        SAMPLES["PNG"].write_slice(folder / "png" / f"slice_{z:03d}.png", values)
