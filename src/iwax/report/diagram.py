"""The diagram of a model, drawn from the model itself: every layer with its size, q above and p below."""

import dataclasses
import itertools
import math
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, Patch

from iwax.errors import IwaxTypeError
from iwax.figures import COLOURS, Paths, plot
from iwax.models import VAE, BernoulliBlock, GaussianBlock, Model

__all__ = ["Node", "architecture", "architecture_diagram"]

BAR, RADIUS = 0.34, 0.36  # width of a layer and radius of a latent, where neighbours are 1 apart
SHADES = {"data": 0.0, "hidden": 0.35, "heads": 0.75}
ROW = 1.9  # from the middle line to q's row above and p's below
Place = tuple["Node", float, float]
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclasses.dataclass(frozen=True)
class Node:
    """One box of the diagram: a layer of `size` units of some kind, "data", "hidden", "heads" or "latent"."""

    kind: str
    size: int
    label: str


def architecture(model: Model) -> tuple[list[Node], list[Node]]:
    """What q(z | x) passes through, from x to the top latent, and p(x, z), from there to x.

    Raises:
        TypeError: the model is no `VAE`, so that nothing says what it is made of.

    >>> import jax
    >>> upwards, downwards = architecture(VAE(4, [2], [[3]], key=jax.random.key(0)))
    >>> [f"{node.label} {node.size}" for node in upwards]
    ['x 4', 'tanh 3', 'μ, σ 2', 'z 2']
    >>> [f"{node.label} {node.size}" for node in downwards]
    ['z 2', 'tanh 3', 'logits 4', 'x 4']
    """
    if not isinstance(model, VAE):
        raise IwaxTypeError(
            f"Expected the model of a diagram to be an iwax.VAE; got {type(model).__name__}. Others are not drawn."
        )
    depth = len(model.latent_sizes)
    names = ["z" if depth == 1 else f"z{layer + 1}".translate(SUBSCRIPTS) for layer in range(depth)]
    latents = [Node("latent", size, name) for size, name in zip(model.latent_sizes, names, strict=True)]
    data = Node("data", model.data_size, "x")
    upwards, downwards = [data], [latents[-1]]
    for density, latent in zip(model.inference, latents, strict=True):
        upwards += [*_inside(density), latent]
    for block, below in zip(model.generative, [*reversed(latents[:-1]), data], strict=True):
        downwards += [*_inside(block), below]
    return upwards, downwards


def _inside(block: GaussianBlock | BernoulliBlock) -> list[Node]:
    """The layers of one conditional density."""
    trunk = [Node("hidden", layer.bias.size, block.trunk.activation) for layer in block.trunk.layers]
    gaussian = isinstance(block, GaussianBlock)
    head = block.loc if isinstance(block, GaussianBlock) else block.logits
    return [*trunk, Node("heads", head.bias.size, "μ, σ" if gaussian else "logits")]


def architecture_diagram(model: Model, path: Paths) -> None:
    """Draw a VAE into a .svg, .pdf or .png file: q from left to right above, p from right to left below.

    Heights go with the square root of the number of units.

    Raises:
        TypeError: the model is no `VAE`.
    """
    upwards, downwards = architecture(model)
    columns = max(len(upwards), len(downwards))
    largest = max(node.size for node in (*upwards, *downwards)) ** 0.5
    with plot(path, width=0.6 * (columns + 0.9), height=4.6) as axis:
        axis.set(xlim=(-0.5, columns - 0.1), ylim=(-2 * ROW + 0.1, 2 * ROW - 0.1), aspect="equal")
        axis.axis("off")
        above = [(float(i), ROW) for i in range(len(upwards))]
        below = [(columns - 1.0 - i, -ROW) for i in range(len(downwards))]
        above[-1] = below[0] = (columns - 1.0, 0.0)  # the top latent belongs to both
        for nodes, places, colour, density in (
            (upwards, above, COLOURS[0], "q(z | x)"),
            (downwards, below, COLOURS[1], "p(x, z)"),
        ):
            placed = [(node, *place) for node, place in zip(nodes, places, strict=True)]
            for start, end in itertools.pairwise(placed):
                _arrow(axis, start, end)
            for node, x, y in placed:
                _draw(axis, node, x, y, node.size**0.5 / largest, colour)
            side = places[1][1] or places[0][1]
            axis.text(columns - 1.0, side, density, ha="center", va="center", color=colour, size=10)
        axis.figure.legend(handles=_handles(), loc="outside lower center", ncols=2, fontsize=8)


def _handles() -> list[Any]:
    """The legend: what is drawn from, and what the shades of the bars are."""
    names = {"data": "data", "hidden": "hidden layer", "heads": "parameters of a density"}
    circle: dict[str, Any] = {
        "marker": "o",
        "ms": 8,
        "linestyle": "none",
        "markerfacecolor": "white",
        "markeredgecolor": "black",
    }
    faces = [(kind, "white" if kind == "data" else (*_rgb(COLOURS[0]), SHADES[kind])) for kind in names]
    boxes = [Patch(facecolor=face, edgecolor=COLOURS[0], label=names[kind]) for kind, face in faces]
    return [*boxes, Line2D([], [], label="latent, drawn", **circle)]


def _draw(axis: Any, node: Node, x: float, y: float, height: float, colour: str) -> None:
    """One node: a circle if it is drawn from, else a bar of this height (of the tallest's)."""
    if node.kind == "latent":
        axis.add_patch(Circle((x, y), RADIUS, facecolor="white", edgecolor="black", lw=1.2, zorder=3))
        axis.text(x, y, node.label, ha="center", va="center", zorder=4, size=10)
        axis.text(x, y - RADIUS - 0.12, str(node.size), ha="center", va="top", size=8)
        return
    half = 0.2 + 1.05 * height
    style = "round,pad=0,rounding_size=0.08"
    box = FancyBboxPatch((x - BAR / 2, y - half), BAR, 2 * half, boxstyle=style, lw=1, edgecolor=colour, zorder=3)
    box.set_facecolor("white" if node.kind == "data" else (*_rgb(colour), SHADES[node.kind]))
    axis.add_patch(box)
    axis.text(x, y + half + 0.1, node.label, ha="center", va="bottom", size=8)
    axis.text(x, y - half - 0.12, str(node.size), ha="center", va="top", size=8)


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def _arrow(axis: Any, start: Place, end: Place) -> None:
    """From the edge of one node to that of the next."""
    (node, x, y), (other, to_x, to_y) = start, end
    line = ((x, y), (to_x, to_y))
    length = math.dist(*line)
    beside = 0.8 * BAR * length / abs(to_x - x)
    gaps = [1.15 * RADIUS if one.kind == "latent" else beside for one in (node, other)]
    (x, to_x), (y, to_y) = (
        (a + (b - a) * gaps[0] / length, b - (b - a) * gaps[1] / length) for a, b in zip(*line, strict=True)
    )
    style = {"arrowstyle": "-|>", "lw": 0.8, "color": "black", "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", (to_x, to_y), (x, y), arrowprops=style)
