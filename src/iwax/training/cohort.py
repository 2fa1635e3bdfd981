"""Several runs as one compiled program: vectorised over the runs, which are shared out among the devices there are.

The runs have equal shapes and choices; numbers may be their own: seed, beta, alpha, learning rates and their schedule,
Adam's decays and epsilon. Every run draws its random numbers by its own (seed, epoch) and (seed, step), so that it sees
the minibatches, binarisation and noise that it would see alone; what differs is how batched sums round.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, PyTree

from iwax.errors import IwaxError, NonFiniteLossError
from iwax.models import matrix_precision
from iwax.objectives import OBJECTIVES, every_option
from iwax.training.early import in_form_of
from iwax.training.optimisers import Decay
from iwax.training.recipe import Recipe, Stages
from iwax.training.steps import TrainState, steps
from iwax.training.trainer import Trainer, in_chunks

__all__ = ["VARYING", "Cohort", "CohortState"]

ARRAYS = tuple(option.name for option in every_option(OBJECTIVES).values() if option.is_array)  # beta, alpha
VARYING = ("seed", *ARRAYS, "protocol", "stages", "learning_rate", "schedule_scale", "beta1", "beta2", "epsilon")
"""Fields of RunConfig in which the runs of a cohort may differ; of the recipe this is but the name."""
ALL, EACH = PartitionSpec(), PartitionSpec("runs")


class CohortState(eqx.Module):
    """The states of all runs: arrays stacked on a leading axis, except for counts of steps, which they share."""

    runs: TrainState
    finite: Bool[Array, " runs"]
    """Whether the parameters still are."""

    @classmethod
    def stack(cls, states: Sequence[TrainState]) -> "CohortState":
        """The states of several runs at one step."""
        arrays, rest = zip(*(eqx.partition(state, eqx.is_array) for state in states), strict=True)
        stacked = jax.tree.map(lambda *leaves: leaves[0] if _is_count(leaves[0]) else jnp.stack(leaves), *arrays)
        return cls(eqx.combine(stacked, rest[0]), jnp.ones(len(states), bool))

    @property
    def step(self) -> Array:
        return self.runs.step

    def member(self, index: int) -> TrainState:
        """The state of one run, as it would be alone."""
        home = jax.local_devices()[0]
        arrays, rest = eqx.partition(self.runs, eqx.is_array)
        own = jax.tree.map(lambda leaf: jax.device_put(leaf[index] if leaf.ndim else leaf, home), arrays)
        return eqx.combine(own, rest)


@dataclasses.dataclass(frozen=True)
class Cohort:
    """Runs that share a program; `trainers` differ in keys and in the numbers of their recipes only.

    `devices` are those to share the runs out among, in equal parts; as many of them are used as allow that.
    """

    trainers: tuple[Trainer, ...]
    devices: tuple[Any, ...] = dataclasses.field(default_factory=lambda: tuple(jax.devices()))

    def __post_init__(self) -> None:
        if self.trainers[0].devices > 1:
            raise IwaxError(
                f"Expected devices to be left out where one program trains several runs, which it shares out among "
                f"all; got {self.trainers[0].devices}. Train them with --no-vectorized, or one by one."
            )

    @property
    def steps_per_epoch(self) -> int:
        return self.trainers[0].steps_per_epoch

    @property
    def mesh(self) -> Mesh:
        """The devices used: the largest number that the runs divide by."""
        runs = len(self.trainers)
        size = max(n for n in range(1, len(self.devices) + 1) if runs % n == 0)
        return Mesh(np.array(self.devices[:size]), ("runs",))

    def on_device(self) -> Array:
        """The images as the program takes them; a stack of them if each run has binarised its own once and for all."""
        if self.trainers[0].binarize != "fixed":
            return self.trainers[0].on_device()
        return jnp.stack([trainer.on_device() for trainer in self.trainers])

    def advance(self, state: CohortState, images: Array, num_steps: int) -> CohortState:
        """The state after `num_steps` more steps, or after the last step of the epoch if that comes first.

        A run whose loss is no longer finite goes on beside the others, in vain; see `failure`.
        """
        first = self.trainers[0]
        rule = "none" if first.binarize == "fixed" else first.binarize
        keys = jnp.stack([trainer.key for trainer in self.trainers])
        numbers = _numbers([trainer.recipe for trainer in self.trainers])
        update, runs = first.climbing(state.runs)  # the early part of all is as long
        program = (update, first.recipe, first.batch_size, rule, first.binarize == "fixed", first.kl_weight)
        stop, climbing = first.stop(int(state.step), num_steps), dataclasses.replace(state, runs=runs)
        with matrix_precision(first.precision):
            after = _run(climbing, images, keys, numbers, stop, program, self.mesh)
        return in_form_of(after, state)

    def chunks(self, state: CohortState, total_steps: int, seconds: float | None = None) -> Iterator[CohortState]:
        """As those of a `Trainer`."""
        return in_chunks(self, state, total_steps, seconds)

    def failure(self, state: CohortState, index: int, since: int) -> NonFiniteLossError | None:
        """What run `index` would have raised alone within the steps after step `since`, if anything."""
        slots = np.arange(since, int(state.step)) % self.steps_per_epoch
        bounds = np.asarray(state.runs.bounds)[index, slots].reshape(len(slots), -1)
        lost = ~np.isfinite(bounds).all(axis=1)
        if not lost.any() and state.finite[index]:
            return None
        step = since + 1 + int(np.argmax(lost)) if lost.any() else int(state.step)
        member = dataclasses.replace(state.member(index), step=jnp.asarray(step))
        try:
            self.trainers[index].check_finite(member, not lost.any())
        except NonFiniteLossError as error:
            return error
        raise AssertionError("cannot be reached")


def _is_count(leaf: Array) -> bool:
    """Of steps: the same in all runs, so that what happens at some steps only is decided once."""
    return leaf.ndim == 0 and jnp.issubdtype(leaf.dtype, jnp.integer)


def _numbers(recipes: Sequence[Recipe]) -> dict[str, PyTree]:
    """The numbers that are not the same in all recipes, by field, as arrays (runs,)."""
    read: dict[str, Callable[[Any], PyTree]] = {
        "beta1": Decay.of,
        "beta2": Decay.of,
        "epsilon": lambda values: jnp.asarray(values, float),
        "stages": _stages,
    }
    columns = {name: [getattr(recipe, name) for recipe in recipes] for name in read}
    return {name: read[name](values) for name, values in columns.items() if len(set(values)) > 1}


def _stages(schedules: Sequence[Stages]) -> PyTree:
    """Schedules as one, whose rates and lengths are arrays; shorter ones go on at their last rate."""
    longest = max(map(len, schedules))
    padded = [stages + ((stages[-1][0], 1),) * (longest - len(stages)) for stages in schedules]
    return tuple(
        (jnp.asarray([rate for rate, _ in stage], float), jnp.asarray([epochs for _, epochs in stage]))
        for stage in zip(*padded, strict=True)
    )


def _with(recipe: Recipe, numbers: dict[str, PyTree]) -> Recipe:
    """The recipe with arrays for some of its numbers, which `dataclasses.replace` would want to look at."""
    recipe = copy.copy(recipe)
    vars(recipe).update(numbers)
    return recipe


@eqx.filter_jit(donate="none")
def _run(
    state: CohortState, images: Array, keys: Array, numbers: dict[str, PyTree], stop: Array, program: tuple, mesh: Mesh
) -> CohortState:
    """`run_steps` for every run, until `stop` for all of them."""
    update, recipe, batch_size, rule, own_images, kl_weight = program
    arrays, rest = eqx.partition(state.runs, eqx.is_array)
    leaves, tree = jax.tree.flatten(arrays)
    axes, specs = [0 if leaf.ndim else None for leaf in leaves], [EACH if leaf.ndim else ALL for leaf in leaves]

    def alone(leaves: list[Array], key: Array, numbers: dict[str, PyTree], images: Array, stop: Array) -> tuple:
        run = eqx.combine(jax.tree.unflatten(tree, leaves), rest)
        recipe_of_run = _with(recipe, numbers)
        after, finite = steps(
            run, images, key, stop, update, recipe_of_run, batch_size, rule, False, kl_weight=kl_weight
        )
        return jax.tree.leaves(eqx.filter(after, eqx.is_array)), finite

    together = jax.vmap(alone, in_axes=(axes, 0, 0, 0 if own_images else None, None), out_axes=(axes, 0))
    in_specs, out_specs = (specs, EACH, EACH, EACH if own_images else ALL, ALL), (specs, EACH)
    shared_out = jax.shard_map(together, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
    after, finite = shared_out(leaves, keys, numbers, images, stop)
    return CohortState(eqx.combine(jax.tree.unflatten(tree, after), rest), finite)
