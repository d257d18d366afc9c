"""One volume in every format: the same values, type and voxel size."""

from pathlib import Path

import pytest
from ingest_samples import SHAPE, SPACING_NM, textured
from reader_samples import SAMPLES

from spherovem_core.ingest import read_stack
from spherovem_core.ingest.readers import READERS
from spherovem_core.parameters import IngestParameters


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("name", [reader.name for reader in READERS])
def test_a_volume_is_the_same_in_every_format_of_files(tmp_path: Path, name: str, dtype: str) -> None:
    sample, volume = SAMPLES[name], textured(SHAPE, dtype)
    parameters = IngestParameters()
    if sample.write_with_spacing is not None:
        source = tmp_path / f"volume{sample.suffix}"
        sample.write_with_spacing(source, volume, SPACING_NM)
    else:
        parameters = IngestParameters(spacing_nm=SPACING_NM)
        source = tmp_path / "volume"
        source.mkdir()
        for z, values in enumerate(volume):
            sample.write_slice(source / f"slice_{z:03d}{sample.suffix}", values)
    acquired = read_stack(source, parameters)
    assert acquired.image.tobytes() == volume.tobytes()
    assert (acquired.image.dtype, acquired.spacing_nm) == (volume.dtype, SPACING_NM)
