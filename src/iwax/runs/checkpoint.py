"""Checkpoints: the arrays of a pytree in a safetensors file, with the checksum of their content. No pickle."""

import hashlib
from pathlib import Path
from typing import TypedDict

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import PyTree
from safetensors import SafetensorError, safe_open

from iwax.errors import IwaxError
from iwax.files import dumps, loads
from iwax.reading import check_type

__all__ = ["Checkpoint", "pack_checkpoint", "read_checkpoint"]


class Header(TypedDict):
    """What a checkpoint's metadata hold beside the arrays."""

    notes: dict[str, str]
    sha256: str


class Checkpoint:
    """What a checkpoint file holds: its arrays by their path in the pytree, and its notes.

    Attributes:
        tensors: path within the pytree -> array.
        notes: what else was written, by name.
        sha256: checksum of the content.
    """

    def __init__(self, tensors: dict[str, np.ndarray], notes: dict[str, str]) -> None:
        self.tensors, self.notes = tensors, notes
        self.sha256 = _checksum(tensors, notes)

    def fill(self, template: PyTree, prefix: str = "") -> PyTree:
        """The pytree in the form of `template`; or the part of it whose paths start with `prefix`, such as ".model".

        Raises:
            ValueError: the arrays are not those of the template.
        """
        tensors = {name.removeprefix(prefix): v for name, v in self.tensors.items() if name.startswith(prefix)}
        wanted = _tensors(template)
        differences = sorted(set(wanted) ^ set(tensors)) or [
            f"{name} {tensors[name].dtype}{tensors[name].shape} for {wanted[name].dtype}{wanted[name].shape}"
            for name in wanted
            if tensors[name].shape != wanted[name].shape or tensors[name].dtype != wanted[name].dtype
        ]
        if differences:
            raise IwaxError(
                f"Expected a checkpoint of the configured model; these differ: {', '.join(differences[:5])}."
            )
        arrays, rest = eqx.partition(template, eqx.is_array)
        leaves = [jnp.asarray(tensors[name]) for name in wanted]
        return eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), leaves), rest)


def pack_checkpoint(tree: PyTree, notes: dict[str, str]) -> bytes:
    """The content of a checkpoint file with the arrays of `tree`."""
    checkpoint = Checkpoint(_tensors(tree), notes)
    header = {"format": "iwax-2", "sha256": checkpoint.sha256, "notes": notes}
    return safetensors.numpy.save(checkpoint.tensors, metadata={"iwax": dumps(header)})  # one: their order is lost


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint file, verified.

    Raises:
        ValueError: it is truncated or altered, or no such file.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("iwax", "null")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        header = loads(text)
        if header is not None:
            check_type(header, Header, "its header")
    except (OSError, SafetensorError, IwaxError, ValueError, TypeError, MemoryError) as error:
        raise IwaxError(f"Expected {path} to be a whole checkpoint; it cannot be read ({error!r}).") from error
    if header is None:
        raise IwaxError(f"Expected {path} to be a checkpoint of iwax; it is another safetensors file.")
    checkpoint = Checkpoint(tensors, header["notes"])
    if checkpoint.sha256 != header["sha256"]:
        raise IwaxError(f"Expected {path} to have checksum {header['sha256']}; got {checkpoint.sha256}.")
    return checkpoint


def _tensors(tree: PyTree) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_flatten_with_path(eqx.filter(tree, eqx.is_array))[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf, order="C") for path, leaf in leaves}


def _checksum(tensors: dict[str, np.ndarray], notes: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(notes):
        digest.update(f"{name}: {notes[name]}\n".encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}\n".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
