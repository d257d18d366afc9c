"""Estimate of the errors among the objects that nobody looked at, from the verdicts on a sample of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.audit.sample import AuditSample
from spherovem_core.audit.verdicts import OBJECT_VERDICTS, Judged

FEW_FAULTS, MANY_FAULTS = 0.25, 0.75
"""Masses of the prior on the side of faults, for all strata together: those of the lower and of the upper end of an interval."""

RIGHT = 0.5
"""Mass of the prior on the side of right objects, as in that of Jeffreys."""

USUAL_WORTH = (1.0, 0.0, 2.0, 0.5)
"""Number of true objects that a labelled one stands for where no such one was seen: right, false, merged, part."""


@dataclass(frozen=True)
class Objects:
    """All labelled objects of an audit.

    Attributes
    ----------
    label, stratum, volume_um3 : (N,) ndarray
        Label, stratum and volume of each.
    """

    label: NDArray[np.int64]
    stratum: NDArray[np.int64]
    volume_um3: NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """Totals over all labelled objects, one per draw.

    Attributes
    ----------
    counts : (4, draws) ndarray
        Number of objects by verdict, in the order of `OBJECT_VERDICTS`.
    true : (draws,) ndarray
        Number of true objects that they stand for.
    false_um3 : (draws,) ndarray
        Volume of the false ones.
    """

    counts: NDArray[np.float64]
    true: NDArray[np.float64]
    false_um3: NDArray[np.float64]


def extend_outcomes(
    sample: AuditSample,
    verdicts: Mapping[str, Judged],
    objects: Objects,
    draws: int,
    rng: np.random.Generator,
    prior: float,
) -> tuple[Outcomes, Outcomes]:
    """Extend the verdicts to all objects.

    In each stratum the fraction of wrong objects among those not looked at has a beta distribution, and their number a binomial
    one. The mass of the prior is shared among the strata by their size: with a Jeffreys prior of its own each stratum would add
    half an imagined fault. How wrong objects divide into false, merged and divided ones is shrunk towards all strata. Which ones
    are false is random within the stratum.

    Parameters
    ----------
    prior
        Mass of the prior on the side of faults.

    Returns
    -------
    value : Outcomes
        Horvitz-Thompson estimates, one draw long.
    posterior : Outcomes
        Draws from the posterior.
    """
    worth = _worth(verdicts)
    wrong_in_all = np.array(
        [sum(v.verdict == kind for v in verdicts.values()) for kind in OBJECT_VERDICTS[1:]]
    )
    common = (wrong_in_all + 1 / 3) / (wrong_in_all.sum() + 1)
    value, posterior = np.zeros((5, 1)), np.zeros((5, draws))
    for number in range(len(sample.object_strata)):
        drawn = [each for each in sample.objects if each.stratum == number]
        members = objects.stratum == number
        looked_at = members & np.isin(objects.label, [each.label for each in drawn])
        seen = _counts([verdicts[each.item] for each in drawn])
        false = [each.label for each in drawn if verdicts[each.item].verdict == "false"]
        false_um3 = float(objects.volume_um3[members & np.isin(objects.label, false)].sum())
        scale = members.sum() / max(len(drawn), 1)
        value += np.append(seen, false_um3)[:, None] * scale
        unseen = objects.volume_um3[members & ~looked_at]
        share = members.sum() / len(objects.label)
        rates = rng.beta(seen[1:].sum() + prior * share, seen[0] + RIGHT * share, draws)
        wrong = rng.binomial(len(unseen), rates)
        kinds = rng.multinomial(wrong, rng.dirichlet(seen[1:] + common, draws)).T
        posterior[:4] += seen[:, None] + np.vstack([len(unseen) - wrong, kinds])
        posterior[4] += false_um3 + _sums(unseen, kinds[0], rng)
    return _outcomes(value, worth), _outcomes(posterior, worth)


def _outcomes(totals: NDArray[np.float64], worth: NDArray[np.float64]) -> Outcomes:
    return Outcomes(totals[:4], worth @ totals[:4], totals[4])


def _counts(judged: Sequence[Judged]) -> NDArray[np.float64]:
    return np.array([sum(each.verdict == verdict for each in judged) for verdict in OBJECT_VERDICTS], float)


def _worth(verdicts: Mapping[str, Judged]) -> NDArray[np.float64]:
    """Average the number of true objects that a labelled one stands for, by verdict."""
    found = []
    for verdict, usual in zip(OBJECT_VERDICTS, USUAL_WORTH, strict=True):
        counts = [each.count for each in verdicts.values() if each.verdict == verdict]
        if verdict == "false" or not counts:
            found.append(usual)
        else:
            found.append(float(np.mean([1 / n for n in counts] if verdict == "part" else counts)))
    return np.array(found)


def _sums(
    values: NDArray[np.float64], counts: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the sums of some of the values, chosen without replacement, by their exact mean and variance."""
    n = len(values)
    if n == 0:
        return np.zeros(len(counts))
    variance = float(values.var(ddof=1)) if n > 1 else 0.0
    spread = np.sqrt(counts * (1 - counts / n) * variance)
    return np.asarray(
        np.clip(counts * values.mean() + spread * rng.standard_normal(len(counts)), 0, values.sum())
    )
