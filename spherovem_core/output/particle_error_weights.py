"""Errors of particles on phantoms, from which their intervals follow.

``benchmarks/intervals.py --parts objects --fit`` prints them.
"""

SIZE_FLOOR = 0.037
SIZE_BY_WIDTH = 0.708
SIZE_BY_NOISE = 3.662
"""Parts of the error of the logarithm of a volume: constant, by voxels across, and by noise over contrast and root of voxels."""
COMMON_SIZE_SD = 0.058
"""Standard deviation of the logarithm by which all volumes of an acquisition are off."""
RECALL = (14.2, 2.5)
"""Beta distribution of the fraction of particles that are found."""
FEWEST_MISSED = 0.5
"""Number of particles that are added to those found for the number of missed ones: where none was found one may be missed."""
MISSED_SIZE = 0.67
"""Volume of missed particles, relative to that of found ones."""
ODDS_SD = 0.56
"""Standard deviation of the logit by which the confidences of an acquisition are off."""
DISTANCE_ERROR = (1.53, 0.99)
"""By how many voxels of the coarsest axis a distance to the nucleus can be too large and too small, at 95 %, besides the shift of
the whole surface."""
