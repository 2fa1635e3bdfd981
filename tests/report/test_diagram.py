"""Diagrams are drawn from the model: what they say is what its arrays are."""

import jax
import pytest

from iwax.models.linear_gaussian import LinearGaussian
from iwax.models.vae import ARCHITECTURES
from iwax.report.diagram import architecture, architecture_diagram


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_its_layers_have_as_many_parameters_as_the_model(name):
    model = ARCHITECTURES[name](key=jax.random.key(0))
    total = 0
    for path in architecture(model):
        width = path[0].size
        for node in path[1:]:
            if node.kind in ("hidden", "heads"):
                total += (2 if node.label == "μ, σ" else 1) * (width + 1) * node.size
            width = width if node.kind == "heads" else node.size
    assert total == model.num_parameters


def test_the_picture_names_every_layer(tmp_path):
    path = tmp_path / "model.svg"
    architecture_diagram(ARCHITECTURES["two-layer"](key=jax.random.key(0)), path)
    text = path.read_text()
    assert [text.count(f">{word}<") for word in ("z₁", "z₂", "tanh", "μ, σ", "logits", "784", "q(z | x)")] == [
        *(2, 2, 8, 3, 1, 3, 1)
    ]


def test_other_models_are_refused_by_name(tmp_path):
    with pytest.raises(TypeError, match=r"Expected the model of a diagram to be an iwax.VAE; got LinearGaussian."):
        architecture_diagram(LinearGaussian.isotropic(2), tmp_path / "model.svg")
