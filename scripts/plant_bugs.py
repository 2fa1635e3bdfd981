# ruff: noqa: E501  (what is right and what is wrong stand as they are in the code)
"""Plant realistic bugs in the objectives, one at a time in a copy of the tree, and count how many the tests catch.

    python scripts/plant_bugs.py                      # all of them; a line each, then the table
    python scripts/plant_bugs.py --only 3 7           # some, by number
    python scripts/plant_bugs.py --out survivors.json # what was caught, by which test, in how long

A bug is a replacement of one piece of text that occurs once. The tests that ought to see it run first (`tests`, an
expression for pytest -k) and, if they all pass, every test that is not slow (unless --quick). The working tree is
never touched.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
OBJECTIVES = "objectives/"


@dataclasses.dataclass(frozen=True)
class Bug:
    """What somebody might write instead of what is right, or did ("seen" says where)."""

    what: str
    file: str
    right: str
    wrong: str
    tests: str
    seen: str = ""


BUGS = [
    # The defects of public implementations, in the order in which they were found.
    Bug("CIWAE's IWAE term takes one sample", "objectives/rainforth.py", "(1 - beta) * log_mean_exp(for_iwae))",
        "(1 - beta) * log_mean_exp(for_iwae[:1]))", "orderings or ciwae_gradients", "TightIWAE"),
    Bug("PIWAE's theta bound has K samples, not M K", "objectives/rainforth.py",
        "return IWAE(num_samples=self.total_samples).formula(log_w)",
        "return log_mean_exp(log_w[: self.num_samples])", "piwae", "TightIWAE"),
    Bug("`descend` ascends", "objectives/rainforth.py", "return primals[0], -tangents[0]",
        "return primals[0], tangents[0]", "learned_beta", "TightIWAE's code against its equation"),
    Bug("M and K swapped in the groups", "objectives/rainforth.py",
        "return log_w.reshape(num_groups, -1, *log_w.shape[1:])",
        "return log_w.reshape(-1, num_groups, *log_w.shape[1:])", "miwae", "pythae"),
    Bug("PIWAE's phi gets both gradients", "objectives/rainforth.py",
        "return Coefficients(self.weight(log_w), inference.path, inference.score)",
        "return Coefficients(self.weight(log_w), inference.path + self.weight(log_w), "
        "inference.score + self.weight(log_w))", "piwae", "pythae"),
    Bug("sum w~ log w reported as the IWAE bound", "objectives/iwae.py",
        "return log_mean_exp(log_w)", "return (normalised_weights(log_w) * log_w).sum(axis=0)",
        "value_is_the_bound or loss_is_minus", "pythae"),
    Bug("doubly-reparameterised is sticking the landing: no second weight", "objectives/iwae.py",
        "    def path_fraction(self, log_w: Float[Array, \"samples *batch\"]) -> Float[Array, \"samples *batch\"]:\n"
        "        return normalised_weights(log_w)",
        "    def path_fraction(self, log_w: Float[Array, \"samples *batch\"]) -> Float[Array, \"samples *batch\"]:\n"
        "        return jnp.ones_like(log_w)", "iwae_gradients", "mmvae"),
    Bug("the gradient hook never fires", "objectives/objective.py",
        "lambda factor, cotangent: (cotangent * factor, jnp.zeros_like(factor)),",
        "lambda factor, cotangent: (cotangent, jnp.zeros_like(factor)),", "one_pass or iwae_gradients", "mmvae"),
    # The surrogate.
    Bug("the surrogate reported as the value", "objectives/objective.py",
        "return -_value_with_gradient_of(value, surrogate)", "return -surrogate", "value_is_the_bound"),
    Bug("sign of the loss", "objectives/objective.py",
        "return -_value_with_gradient_of(value, surrogate)", "return _value_with_gradient_of(value, surrogate)",
        "loss_is_minus"),
    Bug("batch summed, not averaged", "objectives/objective.py",
        "return jnp.mean(per_example_loss(model, objective, x, key))",
        "return jnp.sum(per_example_loss(model, objective, x, key))", "loss_is_minus"),
    Bug("the posterior not frozen in the path term", "objectives/objective.py",
        "surrogate -= weighted_sum(b, freeze(posterior).log_prob(z))",
        "surrogate -= weighted_sum(b, posterior.log_prob(z))", "iwae_gradients"),
    Bug("the draw frozen in the path term", "objectives/objective.py",
        "surrogate -= weighted_sum(b, freeze(posterior).log_prob(z))",
        "surrogate -= weighted_sum(b, freeze(posterior).log_prob(freeze(z)))", "iwae_gradients"),
    Bug("the model not frozen in the path term", "objectives/objective.py",
        "surrogate += weighted_sum(b, freeze(model).log_joint(x, z))",
        "surrogate += weighted_sum(b, model.log_joint(x, z))", "piwae or one_pass"),
    Bug("the draw not frozen in the score-function term", "objectives/objective.py",
        "return surrogate - weighted_sum(c, posterior.log_prob(freeze(z)))\n        if a is b",
        "return surrogate - weighted_sum(c, posterior.log_prob(z))\n        if a is b", "other_estimators"),
    Bug("sign of the score-function term", "objectives/objective.py",
        "return surrogate - weighted_sum(c, posterior.log_prob(freeze(z)))\n        if a is b",
        "return surrogate + weighted_sum(c, posterior.log_prob(freeze(z)))\n        if a is b", "score_functions"),
    Bug("b and c swapped in sticking the landing", "objectives/objective.py",
        "return Coefficients(u, u, jnp.zeros_like(u))", "return Coefficients(u, jnp.zeros_like(u), u)",
        "iwae_gradients or coefficients_by"),
    Bug("wrong sign of the weights' own derivative", "objectives/objective.py",
        "path = u - _own_derivatives(self.weight, log_w) if fraction is None else u * fraction",
        "path = u + _own_derivatives(self.weight, log_w) if fraction is None else u * fraction", "users_own or own_bound"),
    Bug("the weights not constant in the surrogate", "objectives/objective.py",
        "log_w = jax.lax.stop_gradient(checked_log_joint(model, x, z, log_q) - log_q)",
        "log_w = checked_log_joint(model, x, z, log_q) - log_q", "value_is_the_bound or iwae_gradients"),
    Bug("zero times -inf", "objectives/objective.py",
        "return jnp.sum(jnp.where(coefficient == 0, 0, coefficient * term), axis=0)",
        "return jnp.sum(coefficient * term, axis=0)", "weight_of_zero"),
    Bug("hyper-parameters differentiated", "objectives/objective.py",
        "        objective = freeze(self)\n        if self.learned:", "        objective = self\n        if self.learned:",
        "frozen_hyper"),
    Bug("discrete latents taken by path gradients", "objectives/objective.py",
        "if self.gradient != SCORE_FUNCTION and not getattr(posterior, \"has_rsample\", True):",
        "if False and not getattr(posterior, \"has_rsample\", True):", "refuses_by_name"),
    Bug("sticking the landing called unbiased", "objectives/objective.py",
        "return self.gradient != STICKING_THE_LANDING or self.has_constant_weights", "return True", "unbiased"),
    Bug("dependent draws taken by all", "objectives/objective.py",
        "return self.gradient == SCORE_FUNCTION or (self.gradient in PATH_ONLY and not self.has_constant_weights)",
        "return False", "independent or dependent or sampling"),
    # The bounds.
    Bug("log K missing", "weights.py",
        "return jax.nn.logsumexp(log_w, axis=axis) - jnp.log(jnp.asarray(log_w.shape[axis], log_w.dtype))",
        "return jax.nn.logsumexp(log_w, axis=axis)", "value_is_the_bound"),
    Bug("mean of weights without a maximum taken out", "weights.py",
        "return jax.nn.logsumexp(log_w, axis=axis) - jnp.log(jnp.asarray(log_w.shape[axis], log_w.dtype))",
        "return jnp.log(jnp.mean(jnp.exp(log_w), axis=axis))", "extreme"),
    Bug("log of the mean over groups", "objectives/rainforth.py",
        "return jnp.mean(log_mean_exp(_in_groups(log_w, self.num_groups), axis=1), axis=0)",
        "return log_mean_exp(jnp.mean(_in_groups(log_w, self.num_groups), axis=1), axis=0)", "miwae or orderings"),
    Bug("groups summed, not averaged", "objectives/rainforth.py",
        "return jnp.mean(log_mean_exp(_in_groups(log_w, self.num_groups), axis=1), axis=0)",
        "return jnp.sum(log_mean_exp(_in_groups(log_w, self.num_groups), axis=1), axis=0)", "miwae or orderings"),
    Bug("softmax over the wrong axis", "objectives/rainforth.py",
        "return normalised_weights(_in_groups(log_w, self.num_groups), axis=1).reshape(log_w.shape)",
        "return normalised_weights(_in_groups(log_w, self.num_groups), axis=0).reshape(log_w.shape)", "miwae or closed_form"),
    Bug("beta on the wrong term", "objectives/rainforth.py",
        "beta = self.beta.astype(log_w.dtype)\n        for_elbo", "beta = 1 - self.beta.astype(log_w.dtype)\n        for_elbo",
        "ciwae or orderings"),
    Bug("CIWAE's second weight without beta", "objectives/rainforth.py",
        "return w + (1 - w) * from_elbo", "return w", "ciwae_gradients or closed_form"),
    Bug("seed 002's ELBO shares the samples", "objectives/rainforth.py",
        "for_elbo, for_iwae = (log_w[:1], log_w[1:]) if self.beta_rule == \"seed002\" else (log_w, log_w)",
        "for_elbo, for_iwae = log_w, log_w", "seed002"),
    Bug("VR-IWAE weights tempered by alpha, not 1 - alpha", "objectives/renyi.py",
        "power = 1 - self.alpha.astype(log_w.dtype)", "power = self.alpha.astype(log_w.dtype)", "vr_iwae or closed_form"),
    Bug("VR-IWAE path coefficient with alpha and 1 - alpha swapped", "objectives/renyi.py",
        "return alpha + (1 - alpha) * self.weight(log_w)", "return 1 - alpha + alpha * self.weight(log_w)",
        "vr_iwae or closed_form"),
    Bug("Renyi bound without 1 / (1 - alpha)", "weights.py",
        "by_max = log_mean_exp(safe_power * log_w, axis=axis) / safe_power",
        "by_max = log_mean_exp(safe_power * log_w, axis=axis)", "shifting or orderings"),
    Bug("Renyi bound near alpha = 1 by division", "weights.py",
        "near = jnp.all(jnp.abs(spread) < 1, axis=axis)", "near = jnp.all(jnp.abs(spread) < 0, axis=axis)", "renyi"),
    Bug("jackknife factors without powers of K - j", "objectives/jackknife.py",
        "(num_samples - j) ** m", "(num_samples - j)", "jvi"),
    Bug("jackknife leaves one out by log1p", "weights.py",
        "    before, after = _exclusive_scans(jnp.logaddexp, log_w, -jnp.inf)\n    return jnp.logaddexp(before, after)",
        "    return jax.nn.logsumexp(log_w, axis=0) + jnp.log1p(-jax.nn.softmax(log_w, axis=0))", "leave_one_out"),
    Bug("jackknife's doubly-reparameterised weights not squared", "objectives/jackknife.py",
        "path = self._mean_weights(log_w, power=2)", "path = self._mean_weights(log_w, power=1)", "jackknife or closed_form"),
    Bug("wake-phi descends log q", "objectives/wake.py", "return Coefficients(w, jnp.zeros_like(w), -w)",
        "return Coefficients(w, jnp.zeros_like(w), w)", "wake or other_estimators"),
    Bug("RWS-DReG takes w~^2", "objectives/wake.py", "return jnp.exp(rest - jnp.logaddexp(rest, log_w))",
        "return normalised_weights(log_w)", "wake or other_estimators"),
    Bug("VIMCO forgets the weight's own score", "objectives/score.py",
        "return Coefficients(w, jnp.zeros_like(w), w - signal)", "return Coefficients(w, jnp.zeros_like(w), -signal)",
        "score_functions or other_estimators"),
    Bug("VIMCO's baseline holds its own sample", "objectives/score.py",
        "instead = leave_one_out_sum(log_w) / (self.num_samples - 1)", "instead = jnp.mean(log_w, axis=0)",
        "score_functions or other_estimators"),
    Bug("OVIS: gamma on the wrong side", "objectives/score.py",
        "signal = log_sum - others + shift - (1 - self.gamma) * w", "signal = log_sum - others + shift - self.gamma * w",
        "score_functions or other_estimators"),
    Bug("TVO: t and 1 - t swapped", "objectives/thermodynamic.py",
        "v * (1 - (1 - t) * excess)", "v * (1 - t * excess)", "thermodynamic"),
    Bug("TVO without K / (K - 1)", "objectives/thermodynamic.py",
        "correction = self.num_samples / (self.num_samples - 1)", "correction = 1", "thermodynamic"),
    Bug("AISLE's chi-square without its K", "objectives/aisle.py",
        "return 2 * self.num_samples * normalised_weights(log_w)", "return 2 * normalised_weights(log_w)",
        "other_estimators"),
    Bug("the most probable sample, not a random one", "objectives/iwae.py",
        "chosen = jax.random.categorical(jax.random.fold_in(key, 1), log_w, axis=0)[None]",
        "chosen = jnp.argmax(log_w, axis=0)[None]", "resampled"),
    Bug("sign of the closed-form divergence", "objectives/elbo.py",
        "bound = jnp.mean(log_likelihood, axis=0) - divergence", "bound = jnp.mean(log_likelihood, axis=0) + divergence",
        "analytic"),
    Bug("the closed-form divergence the other way round", "objectives/elbo.py",
        "log_ratio = q.log_scale - p.log_scale", "log_ratio = p.log_scale - q.log_scale", "analytic"),
    Bug("GDReG's prior takes w~, not w~^2", "objectives/gdreg.py",
        "surrogate += weighted_sum(w**2, frozen_log_w(z) - frozen_log_w(by_prior))",
        "surrogate += weighted_sum(w**2, frozen_log_w(z)) - weighted_sum(w, frozen_log_w(by_prior))",
        "generalised or other_estimators"),
    # Dependent draws.
    Bug("antithetic pairs that are copies", "noise.py", "jnp.stack([half, -half], axis=1)",
        "jnp.stack([half, half], axis=1)", "antithetic"),
    Bug("one scrambling for all examples", "noise.py", "jax.random.bits(key, (5, *shape), jnp.uint32)",
        "jax.random.bits(key, (5, *shape[-1:]), jnp.uint32)", "sobol"),
    Bug("Sobol points not scrambled", "noise.py", "shift, *multipliers = seeds", "shift, *multipliers = 0 * seeds",
        "sobol"),
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Outcome:
    number: int
    what: str
    caught_by: str
    """The first test that failed; empty for a survivor."""
    seconds: float


def check_list(source: pathlib.Path) -> None:
    """Raises ValueError unless every bug's right text occurs exactly once."""
    for number, bug in enumerate(BUGS, start=1):
        count = (source / bug.file).read_text().count(bug.right)
        if count != 1:
            raise ValueError(f"Expected the text of bug {number} ({bug.what}) once in {bug.file}; got it {count} times.")


def plant(number: int, folder: pathlib.Path, quick: bool) -> Outcome:
    """The outcome of one bug, in a fresh copy of the tree under `folder`."""
    bug, started = BUGS[number - 1], time.monotonic()
    copy = folder / str(number)
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    path = copy / "src" / "iwax" / bug.file
    path.write_text(path.read_text().replace(bug.right, bug.wrong))
    caught_by = first_failure(copy, bug.tests) or ("" if quick else first_failure(copy, ""))
    shutil.rmtree(copy)
    return Outcome(number, bug.what, caught_by, round(time.monotonic() - started, 1))


def first_failure(copy: pathlib.Path, selection: str) -> str:
    """The name of the first test that fails, or an empty text."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-o", "addopts=", "-m", "not slow", "-p", "no:cacheprovider"]
    command += ["-k", selection] if selection else []
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    tests = ["tests/objectives", "tests/test_weights.py"]
    done = subprocess.run([*command, *tests], cwd=copy, env=environment, capture_output=True, text=True)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode not in (0, 1, 5):
        raise RuntimeError(f"Expected pytest to run; got exit status {done.returncode}:\n{done.stdout[-2000:]}")
    return failed[0].split(" ")[1].split("/")[-1] if failed else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="plant these bugs alone")
    parser.add_argument("--quick", action="store_true", help="run the tests that ought to see a bug, and no more")
    parser.add_argument("--out", type=pathlib.Path, help="write the outcomes here as JSON")
    arguments = parser.parse_args()
    check_list(ROOT / "src" / "iwax")
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for number in arguments.only or range(1, len(BUGS) + 1):
            outcome = plant(number, pathlib.Path(folder), arguments.quick)
            outcomes.append(outcome)
            print(f"{number:3} {outcome.seconds:6.1f} s  {outcome.caught_by or 'SURVIVED'}  ({outcome.what})", flush=True)
            if arguments.out:
                arguments.out.write_text(json.dumps([dataclasses.asdict(o) for o in outcomes], indent=1))
    caught = sum(bool(outcome.caught_by) for outcome in outcomes)
    print(f"{caught} of {len(outcomes)} caught")
    sys.exit(caught < len(outcomes))


if __name__ == "__main__":
    main()
