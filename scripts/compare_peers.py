"""What iwax, NumPyro, Pyro, TensorFlow Probability and pythae do, asked of the installed packages: docs/peers.json.

python -m venv .venv-peers && .venv-peers/bin/pip install -r benchmarks/compared.txt
python scripts/compare_peers.py      # writes docs/peers.json and prints the table; the README shows it

Each column is asked in a process of its own: iwax in this one's environment, the others in .venv-peers.
"""

import importlib
import importlib.metadata
import json
import math
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
ANSWERS, PEERS = ROOT / "docs" / "peers.json", ROOT / ".venv-peers" / "bin" / "python"
PACKAGES = {
    "iwax": "iwax", "NumPyro": "numpyro", "Pyro": "pyro-ppl", "TFP": "tensorflow-probability", "pythae": "pythae",
}  # fmt: skip
X, MEAN, SCALE, SAMPLES, REPEATS = 1.0, -0.5, 0.6, 16, 4000  # z ~ N(0, 1), x | z ~ N(z, 1), q = N(MEAN, SCALE^2)
LOG_P = -math.log(2) / 2 - X**2 / 4  # less the constant of x's density, log(2 pi) / 2


def there(path: str) -> bool:
    """Whether "module:name" can be imported."""
    module, name = path.split(":")
    try:
        return hasattr(importlib.import_module(module), name)
    except ImportError:
        return False


def mentions(package: str, pattern: str) -> bool:
    """Whether a source file of an installed package has the pattern, in whatever case."""
    folder = pathlib.Path(importlib.import_module(package).__file__ or "").parent
    return any(re.search(pattern, path.read_text(errors="ignore"), re.IGNORECASE) for path in folder.rglob("*.py"))


def found(**paths: str) -> str:
    """The labels whose path is there, joined; underscores are spaces."""
    return ", ".join(label.replace("_", " ") for label, path in paths.items() if there(path)) or "no"


def expected_bound() -> float:
    """The IWAE bound of the toy, less the constant of x's density, by plain Monte Carlo in NumPy."""
    z = MEAN + SCALE * np.random.default_rng(0).standard_normal((SAMPLES, 1_000_000))
    log_w = -((X - z) ** 2) / 2 - z**2 / 2 + ((z - MEAN) / SCALE) ** 2 / 2 + math.log(SCALE)
    return float(np.log(np.exp(log_w).mean(axis=0)).mean())


def verdict(values: Any) -> str:
    """Whether what a library returns as the IWAE bound is it, by its mean over draws in which log p(x) is known."""
    mean, error = float(np.mean(values)), float(np.std(values) / math.sqrt(len(values)))
    assert error < 0.02
    if abs(mean - expected_bound()) < 4 * error:
        return "yes"
    side = "above" if mean > LOG_P else "below"
    return f"no: {abs(mean - LOG_P):.2f} ± {error:.2f} nat {side} log p(x)"


def of_iwax() -> dict[str, str]:
    import jax
    import jax.numpy as jnp

    import iwax

    z = MEAN + SCALE * jax.random.normal(jax.random.key(0), (SAMPLES, REPEATS))
    log_w = -((X - z) ** 2) / 2 - z**2 / 2 + ((z - MEAN) / SCALE) ** 2 / 2 + jnp.log(SCALE)
    others = [name.upper() for name in ("elbo", "iwae", "miwae", "ciwae", "piwae") if name in iwax.OBJECTIVES]
    return {
        "bounds": f"{', '.join(others)} and {len(iwax.OBJECTIVES) - len(others)} more",
        "gradients": ", ".join(name.replace("-", " ") for name in iwax.IWAE.gradients),
        "loss": verdict(iwax.IWAE(num_samples=SAMPLES).bound(log_w)),
        "evidence": "yes, with its errors" if there("iwax:evaluate") else "no",
        "khat": "of every example" if there("iwax.evaluation.result:Evaluation") else "no",
        "ais": "yes" if there("iwax.evaluation:anneal") else "no",
        "programs": "no, takes NumPyro's and Pyro's" if there("iwax.contrib.numpyro:evaluate") else "no",
        "mcmc": "no",
        "autoencoders": "no",
    }


def of_numpyro() -> dict[str, str]:
    import jax
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import RenyiELBO

    def model() -> None:
        numpyro.sample("x", dist.Normal(numpyro.sample("z", dist.Normal(0, 1)), 1), obs=X)

    def guide() -> None:
        numpyro.sample("z", dist.Normal(MEAN, SCALE))

    loss = RenyiELBO(alpha=0, num_particles=SAMPLES)
    keys = jax.random.split(jax.random.key(0), REPEATS)
    values = -jax.jit(jax.vmap(lambda key: loss.loss(key, {}, model, guide)))(keys) + math.log(2 * math.pi) / 2
    dreg = mentions("numpyro.infer", r"doubly.?reparam|\bdreg\b|sticking.the.landing")
    return {
        "bounds": found(ELBO="numpyro.infer:Trace_ELBO", **{"IWAE and Rényi": "numpyro.infer:RenyiELBO"}),
        "gradients": "reparameterized" + (", others" if dreg else ""),
        "loss": verdict(values),
        "evidence": "no" if not mentions("numpyro.infer", "get_log_normalizer") else "yes",
        "khat": "of a guide" if there("numpyro.infer:psis_diagnostic") else "no",
        "ais": found(as_a_guide="numpyro.infer.autoguide:AutoDAIS"),
        "programs": found(yes="numpyro:sample", automatic_guides="numpyro.infer.autoguide:AutoNormal"),
        "mcmc": found(HMC="numpyro.infer:HMC", NUTS="numpyro.infer:NUTS"),
        "autoencoders": "no",
    }


def of_pyro() -> dict[str, str]:
    import pyro
    import pyro.distributions as dist
    import torch
    from pyro.infer import RenyiELBO

    def model() -> None:
        z = pyro.sample("z", dist.Normal(torch.zeros(REPEATS), 1.0).to_event(0))
        pyro.sample("x", dist.Normal(z, 1.0), obs=torch.full((REPEATS,), X))

    def batch(program: Callable[[], Any]) -> Callable[[], None]:
        def inside() -> None:
            with pyro.plate("repeats", REPEATS):
                program()

        return inside

    def guide() -> None:
        pyro.sample("z", dist.Normal(torch.full((REPEATS,), MEAN), SCALE))

    pyro.set_rng_seed(0)
    loss = RenyiELBO(alpha=0, num_particles=SAMPLES, vectorize_particles=True)
    # the sum over repeats has the standard error of a mean after division, so it is repeated in ten parts
    parts = [-loss.loss(batch(model), batch(guide)) / REPEATS + math.log(2 * math.pi) / 2 for _ in range(10)]
    dreg = mentions("pyro.infer", r"doubly.?reparam|\bdreg\b|sticking.the.landing")
    return {
        "bounds": found(
            ELBO="pyro.infer:Trace_ELBO",
            **{"IWAE and Rényi": "pyro.infer:RenyiELBO"},
            RWS="pyro.infer:ReweightedWakeSleep",
        ),
        "gradients": "reparameterized, score function" + (", others" if dreg else ""),
        "loss": verdict(parts),
        "evidence": "of a program as a whole" if mentions("pyro.infer", "def get_log_normalizer") else "no",
        "khat": "of a guide" if there("pyro.infer.importance:psis_diagnostic") else "no",
        "ais": "yes" if mentions("pyro", r"annealed.?importance") else "no",
        "programs": found(yes="pyro:sample", automatic_guides="pyro.infer.autoguide:AutoNormal"),
        "mcmc": found(HMC="pyro.infer:HMC", NUTS="pyro.infer:NUTS"),
        "autoencoders": "no",
    }


def of_tfp() -> dict[str, str]:
    import tensorflow as tf
    import tensorflow_probability as tfp

    normal = tfp.distributions.Normal
    value = tfp.vi.monte_carlo_variational_loss(
        target_log_prob_fn=lambda z: -((X - z) ** 2) / 2 + normal(0.0, 1.0).log_prob(z),
        surrogate_posterior=normal(tf.fill([REPEATS], MEAN), SCALE),
        importance_sample_size=SAMPLES,
        seed=(0, 1),
    )
    estimators = {
        "REPARAMETERIZATION": "reparameterized",
        "DOUBLY_REPARAMETERIZED": "doubly reparameterized",
        "SCORE_FUNCTION": "score function",
        "VIMCO": "VIMCO",
    }
    vi = "tensorflow_probability.python.vi"
    return {
        "bounds": found(
            ELBO="tensorflow_probability:vi", **{"IWAE and f-divergences": f"{vi}:monte_carlo_variational_loss"}
        ),
        "gradients": ", ".join(word for name, word in estimators.items() if hasattr(tfp.vi.GradientEstimators, name)),
        "loss": verdict(-value.numpy()),
        "evidence": "no",
        "khat": "yes" if mentions("tensorflow_probability", r"\bpsis|pareto.smoothed") else "no",
        "ais": "yes" if hasattr(tfp.mcmc, "sample_annealed_importance_chain") else "no",
        "programs": "yes, automatic guides"
        if hasattr(tfp.experimental.vi, "build_factored_surrogate_posterior")
        else "yes",
        "mcmc": ", ".join(
            word
            for name, word in {"HamiltonianMonteCarlo": "HMC", "NoUTurnSampler": "NUTS"}.items()
            if hasattr(tfp.mcmc, name)
        ),
        "autoencoders": "no",
    }


def of_pythae() -> dict[str, str]:
    import pythae.models as models
    import torch
    from pythae.models import IWAE, IWAEConfig

    torch.manual_seed(0)
    model = IWAE(IWAEConfig(input_dim=(1,), latent_dim=1, number_samples=SAMPLES, reconstruction_loss="mse"))
    mean = torch.full((REPEATS, SAMPLES, 1), MEAN)
    log_variance = torch.full((REPEATS, SAMPLES, 1), 2 * math.log(SCALE))
    z = mean + SCALE * torch.randn_like(mean)
    ones = torch.full((REPEATS, 1), X)  # the whole batch at once gives a mean; one by one, its error
    losses = [
        model.loss_function(z[i : i + 1], ones[i : i + 1], mean[i : i + 1], log_variance[i : i + 1], z[i : i + 1])[0]
        for i in range(REPEATS)
    ]
    kinds = [name for name in dir(models) if isinstance(getattr(models, name), type) and f"{name}Config" in dir(models)]
    bounds = [name for name in ("VAE", "IWAE", "MIWAE", "CIWAE", "PIWAE") if name in kinds]
    dreg = mentions("pythae.models", r"doubly.?reparam|\bdreg\b|sticking.the.landing")
    return {
        "bounds": ", ".join("ELBO" if name == "VAE" else name for name in bounds),
        "gradients": "reparameterized" + (", others" if dreg else ""),
        "loss": verdict([-float(loss) for loss in losses]),
        "evidence": "yes" if hasattr(models.VAE, "get_nll") else "no",
        "khat": "yes" if mentions("pythae", r"\bpsis|pareto") else "no",
        "ais": "yes" if mentions("pythae", r"annealed.?importance") else "no",
        "programs": "no",
        "mcmc": "no",
        "autoencoders": f"{len(kinds)} kinds of model",
    }


ROWS = {
    "bounds": "bounds",
    "gradients": "gradient estimators of IWAE",
    "loss": "the loss of IWAE is minus its bound",
    "evidence": "log p(x) of each test example",
    "khat": "Pareto k-hat of the weights",
    "ais": "annealed importance sampling",
    "programs": "probabilistic programs",
    "mcmc": "Markov chain Monte Carlo",
    "autoencoders": "VQ-VAE, WAE and other autoencoders",
}
COLUMNS: dict[str, Callable[[], dict[str, str]]] = {
    "iwax": of_iwax, "NumPyro": of_numpyro, "Pyro": of_pyro, "TFP": of_tfp, "pythae": of_pythae,
}  # fmt: skip


def table(answers: dict[str, Any]) -> str:
    """The Markdown table of what was answered, versions in its head."""
    names = list(answers)
    head = ["", *(f"{name} {answers[name]['version']}" for name in names)]
    rows = [[ROWS[row], *(answers[name]["says"][row] for name in names)] for row in ROWS]
    lines = ["| " + " | ".join(cells) + " |" for cells in ([*head], ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"


def answer(name: str) -> dict[str, Any]:
    """What one library says, in a process of its own environment."""
    python = sys.executable if name == "iwax" else str(PEERS)
    command = [python, __file__, "--column", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    if "--column" in sys.argv:
        name = sys.argv[-1]
        version = importlib.metadata.version(PACKAGES[name])
        print(json.dumps({"version": version, "says": COLUMNS[name]()}))
    else:
        kept = json.loads(ANSWERS.read_text()) if ANSWERS.exists() else {}
        asked = sys.argv[1:] or list(COLUMNS)
        answers = {name: answer(name) if name in asked else kept[name] for name in COLUMNS}
        ANSWERS.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")
        print(table(answers))
