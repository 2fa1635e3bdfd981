"""Published training recipes, and this project's own: values, each with its source. One more is one more value here."""

import dataclasses
from typing import Any

from iwax.checks import Named, check_choice
from iwax.training.recipe import Overrides, Recipe, Stages

__all__ = ["RECIPES", "get_recipe"]

# The schedule of Burda et al.: stage i lasts 3^i epochs at 1e-3 10^(-i/7), i = 0..7; 3280 epochs in all.
BURDA_STAGES: Stages = tuple((1e-3 * 10 ** (-i / 7), 3**i) for i in range(8))
# The same as their code has it: 1e-3, 7.2e-4, 5.2e-4, 3.7e-4, 2.7e-4, 1.9e-4, 1.4e-4, 1e-4.
ROUNDED_STAGES: Stages = tuple((1e-4 * round(10 ** (1 - i / 7), 1), 3**i) for i in range(8))


def _truncated(stages: Stages, epochs: int) -> Stages:
    """The first `epochs` epochs of a schedule."""
    kept = []
    for rate, length in stages:
        if epochs > 0:
            kept.append((rate, min(length, epochs)))
        epochs -= length
    return tuple(kept)


def _only(**different: dict[str, Any]) -> Overrides:
    return tuple((name, tuple(fields.items())) for name, fields in different.items())


_FAST = Recipe(
    name="fast",
    source="This project's own, docs/speedrun.md: what reaches the log p of the published 3280 epochs for a "
    "tenth of their arithmetic. The rate is half as high for all but the model on which it was chosen: where "
    "p(z_1 | z_2) is learned, 6e-3 diverges after 44 epochs.",
    batch_size=250,
    stages=((3e-3, 160),),
    decay="cosine",
    warm_up=0.02,
    algorithm="soap",
    clip=5.0,
    beta1=0.95,
    beta2=0.95,
    gradient="doubly-reparameterized",
    by_model=_only(**{"one-layer": {"stages": ((6e-3, 160),), "clip": 0.0}}),
)

_RECIPES = (
    Recipe(
        name="burda-paper",
        source='Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), arXiv:1509.00519: the '
        "paper's text. The gradient's scale, the output bias and the shuffling are not stated there; here the mean, "
        "the data mean (as in the authors' code) and a shuffle every epoch, of all training images.",
        batch_size=20,
        stages=BURDA_STAGES,
        epsilon=1e-4,
    ),
    Recipe(
        name="burda-code",
        source="The authors' code of the same paper, github.com/yburda/iwae, which differs from its text: beta1, the "
        "start of the second moment, a gradient summed over the minibatch, rates rounded to two digits, every layer "
        "drawn from the same seed, no shuffling (Omniglot is permuted once), 400 and 1,345 images held out, and the "
        "order of Theano's updates. Its random pixels and samples cannot be had again.",
        batch_size=20,
        stages=ROUNDED_STAGES,
        gradient_scale="sum",
        beta1=0.99,
        epsilon=1e-4,
        epsilon_hat=True,
        second_moment=1.0,
        previous_moments=True,
        init="glorot-123",
        shuffle="never",
        by_dataset=_only(mnist={"held_out": 400}, omniglot={"held_out": 1345, "shuffle": "once"}),
    ),
    Recipe(
        name="dd2434",
        source='Bradicic, Sitarz, Skoglund and Swartling, "Importance Weighted Autoencoders", DD2434 project report '
        "(2024). Stated: batches of 48 (MNIST) and 45 (Omniglot), weights U(+-1/sqrt(n)), biases zero, 3280 epochs, "
        "the rate lowered every 3^i. Left open, and here as in the paper that it follows (arXiv:1509.00519): the "
        "rates themselves, Adam and its numbers, and sigma = exp. Left open there too, and here: the mean gradient, "
        "and a shuffle every epoch, of all training images. A data set named neither gets 48.",
        batch_size=48,
        stages=BURDA_STAGES,
        epsilon=1e-4,
        init="uniform",
        output_bias="zero",
        by_dataset=_only(mnist={"batch_size": 48}, omniglot={"batch_size": 45}),
    ),
    Recipe(
        name="tightiwae",
        source='The second source report, on "Tighter Variational Bounds are Not Necessarily Better", and its code, '
        "TightIWAE: Adam's defaults, sigma by softplus, torch's initial weights and biases (the output's too), the "
        "rates of arXiv:1509.00519, cut off at 1000 epochs for Omniglot. Its clamp of probabilities to "
        "[1e-5, 1 - 1e-5] is left out: logits need none. For its PIWAE see iwax.Alternating.",
        batch_size=20,
        stages=BURDA_STAGES,
        init="torch",
        output_bias="init",
        scale_map="softplus",
        by_dataset=_only(omniglot={"stages": _truncated(BURDA_STAGES, 1000)}),
    ),
    _FAST,
    dataclasses.replace(
        _FAST,
        name="fast-many",
        source="This project's own, docs/speedrun.md: the recipe fast for objectives of dozens of samples. Four fifths "
        "of its epochs have five, which costs a fraction and ends in the same place; the rate of fast is too high for "
        "many samples in long runs.",
        stages=((3e-3, 300),),
        early_samples=5,
        early_part=0.8,
        by_model=_only(**{"one-layer": {"stages": ((4e-3, 300),), "clip": 0.0}}),
    ),
    dataclasses.replace(
        _FAST,
        name="fast-muon",
        source="This project's own, docs/speedrun.md: the recipe fast with Muon in place of SOAP, and larger batches. "
        "IWAE(5): 0.4 nat (one layer, MNIST), 0.6 (one layer, Omniglot) and 0.2 (two layers, MNIST) better in as many "
        "epochs.",
        batch_size=500,
        stages=((6e-3, 160),),
        algorithm="muon",
        by_model=_only(**{"one-layer": {"stages": ((8e-3, 160),), "clip": 0.0}}),
    ),
    Recipe(
        name="demo",
        source="This project's demonstration: as far as a few thousand images and half a minute go. Not for results.",
        batch_size=20,
        stages=((2e-3, 3), (6e-4, 1)),
        epsilon=1e-4,
    ),
)
RECIPES: Named[Recipe] = Named({recipe.name: recipe for recipe in _RECIPES})
"""Command-line name -> recipe."""


def get_recipe(recipe: str | Recipe) -> Recipe:
    """A recipe by name, or the one given.

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(recipe, Recipe):
        return recipe
    check_choice("recipe", recipe, RECIPES)
    return RECIPES[recipe]
