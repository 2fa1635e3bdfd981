"""Checkpoint files: what goes in comes out, and nothing else is taken for one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import iwax
from iwax.errors import IwaxError
from iwax.runs.checkpoint import pack_checkpoint, read_checkpoint
from iwax.runs.checkpoint_files import CheckpointFiles
from iwax.runs.contents import CHECKPOINT, NEW, PREVIOUS
from iwax.runs.stated import read_stated

TREE = {"model": iwax.VAE(3, [2], [[4]], key=jax.random.key(0)), "step": jnp.asarray(7), "flag": jnp.asarray(True)}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoint"
    path.write_bytes(pack_checkpoint(TREE, {"config": "{}", "other": "ä"}))
    return path


def test_what_goes_in_comes_out(path):
    checkpoint = read_checkpoint(path)
    restored = checkpoint.fill(jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_array(leaf) else leaf, TREE))
    for before, after in zip(jax.tree.leaves(TREE), jax.tree.leaves(restored), strict=True):
        assert before.shape == after.shape
        assert before.dtype == after.dtype
        assert np.array_equal(before, after)
    assert checkpoint.notes == {"config": "{}", "other": "ä"}


def test_a_part_of_it(path):
    model = read_checkpoint(path).fill(iwax.VAE(3, [2], [[4]], key=jax.random.key(1)), "['model']")
    assert all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (model, TREE["model"])), strict=True))


def test_equal_content_makes_equal_files(path):
    assert pack_checkpoint(TREE, {"config": "{}", "other": "ä"}) == path.read_bytes()


@pytest.mark.parametrize("position", [20, 200, -1])
def test_any_altered_byte_is_found(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected .*checkpoint to (be a whole checkpoint|have checksum)"):
        read_checkpoint(path)


@pytest.mark.parametrize("length", [0, 5, 100, 1000, -1])
def test_any_truncation_is_found(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"Expected .*checkpoint to be a whole checkpoint; it cannot be read"):
        read_checkpoint(path)


def test_what_a_checkpoint_states_of_itself_is_what_it_holds_unless_it_is_cut_off_or_another_file(path):
    held, stated = read_checkpoint(path), read_stated(path)
    assert stated.sha256 == held.sha256
    assert stated.shapes == {name: array.shape for name, array in held.tensors.items()}
    whole = path.read_bytes()
    for content in (whole[:-1], whole + b"x", whole[:100], whole[:5], b"", b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"Expected .*checkpoint to be a whole checkpoint"):
            read_stated(path)
    path.write_bytes(safetensors.numpy.save({"a": np.zeros(3)}, metadata={"of": "others"}))
    with pytest.raises(ValueError, match=r"Expected .*checkpoint to be "):
        read_stated(path)


def test_another_models_checkpoint(path):
    wider = TREE | {"model": iwax.VAE(3, [2], [[5]], key=jax.random.key(0))}
    with pytest.raises(
        ValueError, match=r"of the configured model; these differ: .*weight float32\(3, 4\) for float32\(3, 5\)"
    ):
        read_checkpoint(path).fill(wider)
    with pytest.raises(ValueError, match=r"these differ: \['beta'\]\."):
        read_checkpoint(path).fill(TREE | {"beta": jnp.zeros([])})


@pytest.mark.parametrize("begins", [NEW, CHECKPOINT])
def test_a_checkpoint_that_training_renames_meanwhile_is_looked_for_once_more(tmp_path, begins):
    """The trainer puts the new one in the place of the last between the look for it and its reading."""
    (tmp_path / begins).write_bytes(pack_checkpoint(TREE, {}))
    moved = {NEW: CHECKPOINT, CHECKPOINT: PREVIOUS}[begins]
    seen = []

    def read(path):
        seen.append(path.name)
        if len(seen) == 1:
            path.rename(tmp_path / moved)
        try:
            return read_checkpoint(path)
        finally:
            (tmp_path / CHECKPOINT).write_bytes(pack_checkpoint(TREE | {"step": jnp.asarray(8)}, {}))

    assert CheckpointFiles(tmp_path)._last(read).tensors["['step']"] == 8
    assert seen == [begins, CHECKPOINT]
    (tmp_path / CHECKPOINT).write_bytes(b"damaged")  # which stays where it is
    with pytest.raises(IwaxError, match="to be a whole checkpoint; it cannot be read"):
        CheckpointFiles(tmp_path).last_checkpoint()
    (tmp_path / CHECKPOINT).unlink()
    with pytest.raises(IwaxError, match=r"Expected a checkpoint in .*, checkpoint\.safetensors; there is none\."):
        CheckpointFiles(tmp_path).last_stated()
