"""Objectives and estimators once more, from the papers' formulas: NumPy, float64, one example at a time, loops.

Nothing of iwax is imported here. An estimator is three coefficients of a sample (a, b, c), constant numbers, in

    gradient in theta = sum_k a_k D_k          gradient in phi = sum_k b_k P_k - sum_k c_k S_k

with D the gradient of log p(x, z_k), P the derivative of log w_k along z_k and S the score of q at z_k.
"""

import itertools
import math

import numpy as np


def log_mean(log_w):
    return float(np.logaddexp.reduce(log_w) - np.log(len(log_w)))


def share(log_w):
    return np.exp(log_w - np.logaddexp.reduce(log_w))


def groups(log_w, m):
    return [log_w[i * len(log_w) // m : (i + 1) * len(log_w) // m] for i in range(m)]


def jackknife(log_w, order, of):
    """Nowozin's combination of a function of subsets of the samples, (mean over subsets of each size)."""
    k = len(log_w)
    total = 0.0
    for j in range(order + 1):
        factor = (-1) ** j * (k - j) ** order / (math.factorial(order - j) * math.factorial(j))
        kept = [np.array(s) for s in itertools.combinations(range(k), k - j)]
        total = total + factor * sum(of(log_w, s) for s in kept) / len(kept)
    return total


def subset_bound(log_w, kept):
    return log_mean(log_w[kept])


def subset_share(power):
    def of(log_w, kept):
        w = np.zeros(len(log_w))
        w[kept] = share(log_w[kept]) ** power
        return w

    return of


def three(plain, doubly):
    """What the three gradients of one bound are, of its weight and of its doubly-reparameterized coefficient."""
    return {
        "reparameterized": lambda log_w: (plain(log_w), plain(log_w), plain(log_w)),
        "sticking-the-landing": lambda log_w: (plain(log_w), plain(log_w), 0 * log_w),
        "doubly-reparameterized": lambda log_w: (plain(log_w), doubly(log_w), 0 * log_w),
    }


def piwae(m):
    def inner(power):
        return lambda log_w: np.concatenate([share(g) ** power for g in groups(log_w, m)]) / m

    one, two = inner(1), inner(2)
    return {
        "reparameterized": lambda log_w: (share(log_w), one(log_w), one(log_w)),
        "sticking-the-landing": lambda log_w: (share(log_w), one(log_w), 0 * log_w),
        "doubly-reparameterized": lambda log_w: (share(log_w), two(log_w), 0 * log_w),
    }


def mean_of_groups(m, power):
    return lambda log_w: np.concatenate([share(g) ** power for g in groups(log_w, m)]) / m


def tempered(log_w, alpha):
    return share((1 - alpha) * log_w)


def replaced(log_w, k, value):
    out = log_w.copy()
    out[k] = value
    return out


def score_family(baseline):
    """w~ for theta, and -(L - w~_k - h_k) for the score."""

    def of(log_w):
        w = share(log_w)
        h = np.array([baseline(log_w, k) for k in range(len(log_w))])
        return w, 0 * log_w, -(log_mean(log_w) - w - h)

    return {"score-function": of}


def geometric(log_w, k):
    return log_mean(replaced(log_w, k, np.delete(log_w, k).mean()))


def arithmetic(log_w, k):
    return log_mean(replaced(log_w, k, log_mean(np.delete(log_w, k))))


def asymptotic(gamma):
    def of(log_w, k):
        n = len(log_w)
        others = np.logaddexp.reduce(np.delete(log_w, k)) - np.log(n)
        return others - gamma * share(log_w)[k] - gamma * np.log(1 - 1 / n)

    return of


def ovis_auxiliary(num):
    def of(every):
        log_w, further = every[:-num], every[-num:]

        def baseline(log_w, k):
            news = [replaced(log_w, k, f) for f in further]
            return np.mean([log_mean(new) - share(new)[k] for new in news])

        a, b, c = score_family(baseline)["score-function"](log_w)
        idle = np.zeros(num)
        return tuple(np.concatenate([one, idle]) for one in (a, b, c))

    return {"score-function": of}


def tvo_terms(intervals, first):
    points = [0.0] + [first ** (1 - i / (intervals - 1)) for i in range(intervals - 1)]
    return list(zip(points, np.diff([*points, 1.0]), strict=True))


def tvo_value(intervals, first):
    return lambda log_w: sum(width * share(t * log_w) @ log_w for t, width in tvo_terms(intervals, first))


def tvo(intervals, first):
    def of(log_w):
        kappa, a, c = len(log_w) / (len(log_w) - 1), 0 * log_w, 0 * log_w
        for t, width in tvo_terms(intervals, first):
            v = share(t * log_w)
            excess = log_w - v @ log_w
            a = a + width * v * (1 + kappa * t * excess)
            c = c + width * v * (1 - kappa * (1 - t) * excess)
        return a, 0 * log_w, c

    return {"score-function": of}
