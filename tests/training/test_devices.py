"""Training on several devices: the numbers of one, but for rounding; and what cannot be shared is refused."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import iwax
from iwax.cli import main
from iwax.errors import IwaxError
from iwax.runs import RunConfig, RunFolder, non_default_fields, read_checkpoint
from iwax.training.devices import check_devices, mesh_of

FOUR = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}


def test_one_device_needs_no_mesh():
    assert mesh_of(1) is None
    check_devices(1, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8), "Expected devices to be a positive integer; got 0"),
        ((2, 8), f"Expected devices to be at most {jax.device_count()}, all that JAX sees here; got 2"),
    ],
)
def test_devices_that_are_not_there_are_refused(arguments, message):
    with pytest.raises(IwaxError, match=message):
        check_devices(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4, 10), "Expected batch_size to be a multiple of the number of devices, 4; got 10"),
        ((4, 12, 2), r"Expected a part of a minibatch \(12 examples in 2 parts\) to be a multiple of .* 4; got 6"),
    ],
)
def test_a_minibatch_that_does_not_split_is_refused(arguments, message, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    with pytest.raises(IwaxError, match=message):
        check_devices(*arguments)


def test_a_run_on_one_device_keeps_its_identity():
    assert non_default_fields(RunConfig(devices=1)) == non_default_fields(RunConfig()) == {}
    assert non_default_fields(RunConfig(devices=2)) == {"devices": 2}


def test_fit_refuses_devices_that_are_not_there():
    x = np.zeros((8, 2), np.float32)
    model = iwax.LinearGaussian.isotropic(2)
    with pytest.raises(IwaxError, match="Expected devices to be at most"):
        iwax.fit(model, iwax.IWAE(num_samples=2), x, key=jax.random.key(0), batch_size=4, binarize="none", devices=64)


def train(folder, *more, devices, environment):
    """`iwax train` in a process of its own."""
    command = [sys.executable, "-m", "iwax", "train", "--dataset", "mnist-sample", "--train-images", "64"]
    command += ["--recipe", "burda-code", "--epochs", "3", "--batch-size", "16", "--num-samples", "3"]
    command += ["--devices", str(devices), "--out", str(folder), *more]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def arrays(folder):
    """The arrays of a run's last checkpoint."""
    return read_checkpoint(folder / "checkpoint.safetensors").tensors


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--parts", "2"),
        ("--binarize", "fixed", "--objective", "piwae", "--num-groups", "2", "--update", "alternating"),
    ],
    ids=["whole", "in parts", "alternating"],
)
def test_four_devices_give_what_one_gives_but_for_rounding(tmp_path, more):
    one = train(tmp_path / "one", *more, devices=1, environment=FOUR)
    four = train(tmp_path / "four", *more, devices=4, environment=FOUR)
    bounds = [[record["bound"] for record in RunFolder(folder).metrics()] for folder in (one, four)]
    np.testing.assert_allclose(*bounds, rtol=1e-5)
    for name, of_one in arrays(one).items():
        np.testing.assert_allclose(arrays(four)[name], of_one, rtol=1e-3, atol=1e-5, err_msg=name)
    other = train(tmp_path / "other", *more, "--seed", "1", devices=4, environment=FOUR)  # the control
    weight = ".model.inference[0].trunk.layers[0].weight"
    assert abs(arrays(other)[weight] - arrays(one)[weight]).max() > 1e-3
    assert json.loads((four / "config.json").read_text())["devices"] == 4
    assert json.loads((one / "config.json").read_text())["devices"] is None


@pytest.mark.slow
def test_a_run_on_four_devices_goes_on_to_the_bit(tmp_path):
    whole = train(tmp_path / "whole", devices=4, environment=FOUR)
    train(tmp_path / "part", "--time-limit", "0.0001", devices=4, environment=FOUR)
    command = [sys.executable, "-m", "iwax", "train", "--resume", str(tmp_path / "part")]
    subprocess.run(command, env={**os.environ, **FOUR}, capture_output=True, check=True)
    for name, expected in arrays(whole).items():
        np.testing.assert_array_equal(arrays(tmp_path / "part")[name], expected)


@pytest.mark.slow
def test_each_device_computes_a_part_of_the_minibatch_only():
    """By the compiled program: the operations of one device, without which four would do the work of one four times."""
    code = (
        "import jax, jax.numpy as jnp, iwax, numpy as np\n"
        "from iwax.training import Trainer, get_recipe\n"
        "from iwax.training.devices import mesh_of, everywhere\n"
        "from iwax.training.steps import run_steps\n"
        "from iwax.models import ARCHITECTURES\n"
        "x = np.zeros((64, 784), np.uint8)\n"
        "flop = []\n"
        "for n in (1, 4):\n"
        "    t = Trainer(images=x, recipe=get_recipe('burda-code'), key=jax.random.key(0), batch_size=64, devices=n)\n"
        "    s = t.start(ARCHITECTURES['one-layer'](key=jax.random.key(0), data_size=784), iwax.IWAE(num_samples=5))\n"
        "    mesh, key, stop = mesh_of(n), t.key, t.stop(0, 1)\n"
        "    if mesh is not None: s, key, stop = everywhere((s, key, stop), mesh)\n"
        "    args = (s, t.on_device(), key, stop, 'joint', t.recipe, 64, 'dynamic')\n"
        "    cost = run_steps.lower(*args, mesh=mesh).compile().compiled.cost_analysis()\n"
        "    flop.append((cost[0] if isinstance(cost, list) else cost)['flops'])\n"
        "print(flop[1] / flop[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **FOUR}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.4


def test_the_command_refuses_devices_that_are_not_there(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(
            [
                "train",
                "--dataset",
                "mnist-sample",
                "--train-images",
                "32",
                "--batch-size",
                "16",
                "--devices",
                "64",
                "--out",
                str(tmp_path / "run"),
            ]
        )
    assert "Expected devices to be at most" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
