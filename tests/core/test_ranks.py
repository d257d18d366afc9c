"""Ranks, and the reports that do without `scipy.stats`."""

import subprocess
import sys

import numpy as np
from scipy import stats

from spherovem_core.utils.ranks import average_ranks


def test_ranks_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for values in (
        rng.normal(size=(40, 7)),
        rng.integers(0, 5, (40, 7)).astype(float),
        np.ones((3, 2)),
        np.empty((0, 3)),
    ):
        np.testing.assert_array_equal(average_ranks(values), stats.rankdata(values, axis=0))


def test_tables_and_report_do_not_wait_for_scipy_stats() -> None:
    code = "import sys, spherovem_core.output; print('scipy.stats' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
