"""Errors of particles on phantoms, from which their intervals follow.

``benchmarks/intervals.py --parts objects --fit`` prints sizes, `MISSED_SIZE`, `ODDS_SD` and `DISTANCE_ERROR`. The others, of how
many particles are missed, are wide assumptions: the number follows from what each acquisition shows (`CountingEvidence`).
"""

SIZE_FLOOR = 0.037
SIZE_BY_WIDTH = 0.708
SIZE_BY_NOISE = 3.662
"""Parts of the error of the logarithm of a volume: constant, by voxels across, and by noise over contrast and root of voxels."""
COMMON_SIZE_SD = 0.058
"""Standard deviation of the logarithm by which all volumes of an acquisition are off."""
RECALL = (14.5, 0.5)
"""Beta distribution of the fraction of particles that leave a trace: they are found, or are another object, or the border cuts
them."""
BODY_SHARE = 0.85
"""Fraction of the volume of a body, between particles that are not told apart, that its outline holds."""
BODY_SIZE_SD = 0.3
"""Standard deviation of the logarithm of the number of particles that a body's volume amounts to."""
JUDGED_ODDS_SD = 1.5
"""The same as `ODDS_SD`, of objects that were judged not to be particles."""
SLIVER_SHAPE = 2.0
"""Shape of the gamma distribution of how many slivers there are relative to those expected: particles lie in groups."""
FEWEST_MISSED = 1.0
"""Number of particles that are added to those found for the number of missed ones: where none was found one may be missed."""
MISSED_SIZE = 0.67
"""Volume of missed particles, relative to that of found ones."""
ODDS_SD = 0.56
"""Standard deviation of the logit by which the confidences of an acquisition are off."""
DISTANCE_ERROR = (1.53, 0.99)
"""By how many voxels of the coarsest axis a distance to the nucleus can be too large and too small, at 95 %, besides the shift of
the whole surface."""
