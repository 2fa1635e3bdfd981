"""One run on several devices: each takes an equal part of every minibatch, and the compiler averages the gradients.

Parameters and data are whole on every device, and so is every random number, which is keyed as on one device. So what
differs from one device is only in which order sums are rounded.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from iwax.errors import IwaxError

__all__ = ["at_home", "check_devices", "everywhere", "mesh_of", "shared_out"]

BATCH = "batch"


def check_devices(devices: int, batch_size: int, parts: int = 1) -> None:
    """Raises ValueError for more devices than there are, or a minibatch (or a part of it) that they cannot share.

    Arguments:
        devices: how many are wanted.
        batch_size: examples of a minibatch.
        parts: into which a minibatch goes through the networks, one after another.
    """
    if isinstance(devices, bool) or not isinstance(devices, int) or devices < 1:
        raise IwaxError(f"Expected devices to be a positive integer; got {devices!r}.")
    if devices == 1:
        return
    there = jax.device_count()
    if devices > there:
        raise IwaxError(
            f"Expected devices to be at most {there}, all that JAX sees here; got {devices}. To try it on a CPU, set "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={devices}."
        )
    size = batch_size // parts
    if size % devices:
        of = "batch_size" if parts == 1 else f"a part of a minibatch ({batch_size} examples in {parts} parts)"
        raise IwaxError(
            f"Expected {of} to be a multiple of the number of devices, {devices}; got {size}. Choose another "
            f"batch_size{'' if parts == 1 else ', or parts'}."
        )


def mesh_of(devices: int) -> Mesh | None:
    """The first so many devices; None for one, on which there is nothing to share."""
    return None if devices == 1 else Mesh(np.array(jax.devices()[:devices]), (BATCH,))


def everywhere(tree: PyTree, mesh: Mesh) -> PyTree:
    """The same with every array whole on every device."""
    return _placed(tree, NamedSharding(mesh, PartitionSpec()))


def at_home(tree: PyTree) -> PyTree:
    """The same with every array on the first device alone."""
    return _placed(tree, jax.local_devices()[0])


def shared_out(tree: PyTree, mesh: Mesh | None, axis: int = 0) -> PyTree:
    """Within a program: the same, of which each device has an equal part along an axis; as it is without a mesh."""
    if mesh is None:
        return tree
    sharding = NamedSharding(mesh, PartitionSpec(*(None,) * axis, BATCH))
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding), tree)


def _placed(tree: PyTree, where: Any) -> PyTree:
    return jax.tree.map(lambda leaf: jax.device_put(leaf, where) if isinstance(leaf, jax.Array) else leaf, tree)
