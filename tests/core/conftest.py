"""Fixtures of the tests of the core."""

from collections.abc import Iterator

import pytest
from strict_arrays import STAND_IN, stand_in


@pytest.fixture(autouse=True)
def stand_in_for_cupy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Put the strict stand-in in the place of CuPy in tests whose parameter `device` asks for it."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if parameters.get("device") != STAND_IN:
        yield
        return
    with stand_in():
        yield
