"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

# The first example pays for compiling a numba kernel; no test judges by time.
settings.register_profile("spherovem", deadline=None)
settings.load_profile("spherovem")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA
