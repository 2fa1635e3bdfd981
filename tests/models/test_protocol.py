"""The contract of a model as protocols: what counts as a model, and that signatures name it."""

import ast
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import iwax
from example_modules import ROOT
from iwax.evaluation.pruning import prune
from iwax.models import FactorizedModel, GroupedModel, Model, Posterior
from iwax.models.bernoulli_latent import BernoulliLatent
from tiny import Bare

KEY = jax.random.key(0)
GAUSSIAN = iwax.LinearGaussian.isotropic(2)


class OneExample(eqx.Module):
    """Of a single example, and with NumPyro's distributions."""

    mean: jax.Array

    def posterior(self, x):
        return dist.Normal(self.mean, 1.0).to_event(1)

    def log_joint(self, x, z):
        return dist.Normal(z, 1.0).to_event(1).log_prob(x)


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (GAUSSIAN, jnp.ones((3, 2))),
        (BernoulliLatent(4, 2, key=KEY), jnp.ones((3, 4))),
        (iwax.VAE(4, [3, 2], [[5], [5]], key=KEY), jnp.ones((3, 4))),
        (iwax.batched(OneExample(jnp.zeros(2))), jnp.ones((3, 2))),
        (OneExample(jnp.zeros(2)), jnp.ones(2)),
        (prune(GAUSSIAN, (np.array([True, False]),)), jnp.ones((3, 2))),
    ],
)
def test_models_and_their_posteriors_are_told_by_their_members(model, x):
    assert isinstance(model, Model)
    assert isinstance(model.posterior(x), Posterior)
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), eqx.filter(model, eqx.is_array))
    assert isinstance(abstract, Model)  # as functions under transformation see it


def test_what_has_not_the_members_is_none():
    assert not isinstance(GAUSSIAN.posterior(jnp.ones((3, 2))), Model)
    assert not isinstance(GAUSSIAN, Posterior)
    assert not isinstance(object(), Model)
    assert isinstance(Bare(), Model)
    assert not isinstance(Bare(), GroupedModel)
    assert not isinstance(Bare(), FactorizedModel)
    assert isinstance(GAUSSIAN, GroupedModel)
    assert isinstance(GAUSSIAN, FactorizedModel)


JUDGES = {"check_model", "_check_members", "check"}  # which are given what is yet to be found a model


def untyped(source: str) -> list[str]:
    """Functions and classes with a `model` or `posterior` whose annotation says nothing."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name not in JUDGES:
            named = [(argument.arg, argument.annotation) for argument in (*node.args.args, *node.args.kwonlyargs)]
        elif isinstance(node, ast.ClassDef):
            fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
            named = [(ast.unparse(field.target), field.annotation) for field in fields]
        else:
            continue
        said = {name: ast.unparse(annotation) for name, annotation in named if annotation is not None}
        if "Any" in (said.get("model"), said.get("posterior")):
            found.append(node.name)
    return found


def test_signatures_name_the_contract():
    found = {str(path): untyped(path.read_text()) for path in (ROOT / "src" / "iwax").rglob("*.py")}
    assert {path: names for path, names in found.items() if names} == {}
    assert untyped("def f(model: Any, *, posterior: Posterior): ...") == ["f"]
    assert untyped("class A:\n    posterior: Any") == ["A"]


def test_the_page_on_models_names_every_member_and_protocol():
    page = (ROOT / "docs" / "own-model.md").read_text()
    members = {
        name
        for protocol in (Posterior, GroupedModel, FactorizedModel)
        for name in (*vars(protocol), *vars(Model))
        if not name.startswith("_")
    }
    assert members == {"sample", "log_prob", "generative", "inference", "prior", "likelihood", "posterior", "log_joint"}
    for name in (*members, "Model", "Posterior", "GroupedModel", "FactorizedModel"):
        assert re.search(rf"`[^`]*\b{name}\b", page), name
