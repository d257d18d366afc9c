"""Examples in the docstrings of the segmentation run and give the output that they show."""

import doctest
from types import ModuleType

import pytest

from spherovem_core.segmentation import in_memory, networks, segmenters


@pytest.mark.parametrize(("module", "examples"), [(in_memory, 2), (networks, 1), (segmenters, 1)])
def test_examples_give_the_output_that_they_show(module: ModuleType, examples: int) -> None:
    documented = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert len(documented) == examples
    assert doctest.testmod(module).failed == 0
