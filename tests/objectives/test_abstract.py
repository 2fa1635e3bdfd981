"""A class of objectives is abstract or final: what may be written, what is refused, and what follows of itself."""

import jax
import jax.numpy as jnp
import pytest

import iwax
from iwax.objectives import AbstractObjective, AnalyticELBO, Coefficients, GDReG, Objective

KEY = jax.random.key(0)


class Formula(iwax.Objective):
    """Nothing but a bound: what a user writes."""

    def formula(self, log_w):
        return jnp.max(log_w, axis=0)


class Closed(Formula):
    """The bound's own coefficients, in closed form."""

    has_own_coefficients = False

    def all_coefficients(self, log_w):
        u = (log_w == jnp.max(log_w, axis=0)).astype(log_w.dtype)
        return Coefficients(u, u, u)


class Wrong(Formula):
    """Coefficients that are no derivative of it."""

    def all_coefficients(self, log_w):
        a = jnp.full_like(log_w, 1 / len(log_w))
        return Coefficients(a, a, a)


class Beyond(AbstractObjective):
    """An estimate of its own: the log-likelihood of one draw."""

    beyond_log_weights = "the likelihood"
    has_second_derivatives = True

    def formula(self, log_w):
        return jnp.mean(log_w, axis=0)

    def estimate(self, model, x, key):
        z, _ = self.draw(model.posterior(x), key)
        value = jnp.mean(model.log_joint(x, z) - model.prior.log_prob(z), axis=0)
        return jax.lax.stop_gradient(value), value


def test_the_abstract_ones_cannot_be_made():
    with pytest.raises(TypeError, match=r"abstract.* formula"):
        Objective(num_samples=2)
    for missing in ("estimate", "formula", "beyond_log_weights", "has_second_derivatives"):
        with pytest.raises(TypeError, match=missing):
            AbstractObjective(num_samples=2)


@pytest.mark.parametrize(
    ("name", "base", "owner"),
    [
        ("estimate", Formula, "Objective"),
        ("weigh", iwax.PIWAE, "Objective"),
        ("has_second_derivatives", Objective, "Objective"),
        ("beyond_log_weights", iwax.CIWAE, "Objective"),
        ("bound", AbstractObjective, "AbstractObjective"),
        ("coefficients", GDReG, "AbstractObjective"),
    ],
)
def test_what_is_final_is_refused_where_the_class_is_written(name, base, owner):
    with pytest.raises(
        TypeError, match=rf"Expected Other to leave {name} as {owner} has it; got its own\. An objective"
    ):
        type(base)("Other", (base,), {name: lambda self, *arguments: None})


def test_closed_forms_and_answers_may_be_replaced():
    other = type(Formula)("Other", (iwax.IWAE,), {"path_fraction": lambda self, log_w: None, "total_samples": 3})
    assert other(num_samples=2).bound(jnp.zeros(3)) == 0


@pytest.mark.parametrize(("cls", "expected"), [(Formula, True), (Closed, True), (Wrong, False)])
def test_own_coefficients_have_no_second_derivative_unless_they_are_said_to_be_the_bounds(cls, expected):
    assert cls(num_samples=3).has_second_derivatives is expected
    assert type("Child", (cls,), {})(num_samples=3).has_second_derivatives is expected
    assert not cls(num_samples=3, gradient="sticking-the-landing").has_second_derivatives


def test_an_estimate_of_its_own_is_an_objective_too():
    model, x = iwax.LinearGaussian.isotropic(2), jnp.ones((3, 2))
    objective = Beyond(num_samples=4)
    z, _ = objective.draw(model.posterior(x), KEY)
    expected = jnp.mean(model.log_joint(x, z) - model.prior.log_prob(z))
    assert float(iwax.loss(model, objective, x, KEY)) == pytest.approx(-float(expected), rel=1e-6)
    with pytest.raises(ValueError, match="Expected backward to be one of all for Beyond; got 'resampled'"):
        Beyond(num_samples=4, backward="resampled")
    iwax.Alternating(inference=objective, generative=Formula(num_samples=2))  # which takes objectives only


def test_which_of_ours_are_functions_of_log_weights_alone():
    beyond = {cls for cls in iwax.OBJECTIVES.values() if not issubclass(cls, Objective)}
    assert beyond == {AnalyticELBO, GDReG}
    assert {cls for cls in iwax.OBJECTIVES.values() if cls(num_samples=2).beyond_log_weights} == beyond
