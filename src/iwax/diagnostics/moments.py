"""Moments of a stream of vectors, to fourth order, in double precision and constant memory."""

import numpy as np

__all__ = ["Moments"]


class Moments:
    """Mean and central moments of each of `size` quantities, of which batches arrive one after another.

    Batches are merged exactly, whatever their sizes, by the pairwise update of the sums M_p = sum (v - mean)^p.

    Reference: Pebay, "Formulas for Robust, One-Pass Parallel Computation of Covariances and Arbitrary-Order
    Statistical Moments" (2008), Sandia report SAND2008-6212.

    >>> moments = Moments(1)
    >>> for batch in ([[1.0], [2.0]], [[3.0]]):
    ...     moments.add(np.array(batch))
    >>> moments.mean.tolist(), moments.sd.tolist()
    ([2.0], [1.0])
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean, self._m2, self._m3, self._m4 = np.zeros((4, size))

    def add(self, values: np.ndarray) -> None:
        """Take in a batch of vectors, (batch, size)."""
        values = np.asarray(values, np.float64)
        a, b, n = self.count, len(values), self.count + len(values)
        mean = values.mean(axis=0)
        deviations = values - mean
        squares = deviations**2
        m2, m3, m4 = squares.sum(axis=0), (squares * deviations).sum(axis=0), (squares**2).sum(axis=0)
        d = mean - self.mean
        self._m4 += m4 + d**4 * (a * b * (a * a - a * b + b * b) / n**3)
        self._m4 += 6 * d**2 * (a * a * m2 + b * b * self._m2) / n**2 + 4 * d * (a * m3 - b * self._m3) / n
        self._m3 += m3 + d**3 * (a * b * (a - b) / n**2) + 3 * d * (a * m2 - b * self._m2) / n
        self._m2 += m2 + d**2 * (a * b / n)
        self.mean = self.mean + d * (b / n)
        self.count = n

    @property
    def sd(self) -> np.ndarray:
        """Standard deviation of one vector, with n - 1."""
        return np.sqrt(self._m2 / (self.count - 1))

    @property
    def skewness(self) -> np.ndarray:
        """E[(v - mean)^3] / sd^3; 0 where nothing varies."""
        return _ratio(self._m3 * self.count**0.5, self._m2**1.5)

    @property
    def kurtosis(self) -> np.ndarray:
        """E[(v - mean)^4] / sd^4, 3 for a normal distribution; 0 where nothing varies."""
        return _ratio(self._m4 * self.count, self._m2**2)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
