"""The examples run, briefly, and print a row for each loss."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from example_modules import load_example


def test_the_evidence_of_eight_schools():
    example = load_example("numpyro_mixed_effects")

    def density(tau):
        covariance = 25 + np.diag(tau**2 + example.ERROR**2)
        mean = np.zeros(len(example.EFFECT))
        return scipy.stats.multivariate_normal.pdf(example.EFFECT, mean, covariance) * scipy.stats.halfcauchy.pdf(
            tau, scale=5
        )

    evidence = sum(scipy.integrate.quad(density, *ends, epsabs=0)[0] for ends in ((0, 30), (30, np.inf)))
    assert example.exact()[0] == pytest.approx(np.log(evidence), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rows"), [("numpyro_logistic_regression", 4), ("numpyro_mixed_effects", 6), ("numpyro_vae", 5)]
)
def test_examples(name, rows, capsys, monkeypatch):
    example = load_example(name)
    monkeypatch.setattr(example, "NUM_STEPS", 5)
    monkeypatch.setattr(example, "NUM_SEEDS", 2)
    example.main()
    printed = capsys.readouterr().out
    assert printed.count("\n") >= rows + 2
    assert "IWAE(" in printed
    assert "nan" not in printed
