# %% [markdown]
# # From VAE to IWAE to PIWAE
#
# One model, trained four times on the digits that come with iwax: on the ELBO, on a tighter bound, and on the two
# bounds that give the inference network its signal back. At the end you have seen what a tighter bound buys, what it
# costs, and how sure a difference between two models is. Everything is in nats.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

import iwax
from iwax.evaluation import compare_evaluations, sample_images

# %% [markdown]
# The sizes. 16 samples of z are drawn for each image by every objective, so that all cost about the same.

# %% tags=["parameters"]
EPOCHS = 20
TRAIN_IMAGES = 2000
TEST_IMAGES = 500
EVALUATION_SAMPLES = 640
REPLICATES = 200

# %% [markdown]
# ## The data and the model
#
# `mnist-sample` has 2,000 digits to train on and 500 to test with. A pixel is black or white, drawn afresh at each
# visit with the probability that its grey value says. The model is that of Burda et al. (2015) with one layer of 50
# latents.

# %%
data = iwax.data.load("mnist-sample")
images = data.train[:TRAIN_IMAGES]


def new_model():
    return iwax.ARCHITECTURES["one-layer"](key=jax.random.key(0), data_mean=images.mean(axis=0) / 255)


print(images.shape, data.test.shape)

# %% [markdown]
# ## Four objectives
#
# All are functions of the same log-weights, log w = log p(x, z) − log q(z | x):
#
# - the **ELBO** is their mean. It is what a VAE climbs;
# - **IWAE(16)** is the log of the mean weight, a tighter bound;
# - **MIWAE(4, 4)** is the mean of four IWAE(4);
# - **PIWAE(4, 4)** gives each network a bound of its own: IWAE(16) to the decoder, MIWAE(4, 4) to the encoder.

# %%
DREG = "doubly-reparameterized"
objectives = {
    "VAE, ELBO(16)": iwax.ELBO(num_samples=16, gradient=DREG),
    "IWAE(16)": iwax.IWAE(num_samples=16, gradient=DREG),
    "MIWAE(4, 4)": iwax.MIWAE(num_groups=4, num_samples=4, gradient=DREG),
    "PIWAE(4, 4)": iwax.PIWAE(num_groups=4, num_samples=4, gradient=DREG),
}
results = {
    name: iwax.fit(new_model(), objective, images, key=jax.random.key(1), epochs=EPOCHS, batch_size=100)
    for name, objective in objectives.items()
}
for name, result in results.items():
    print(f"{name:15s} bound of the last epoch {result.records[-1]['bound']:8.2f}")

# %% [markdown]
# **These numbers do not rank the models.** Each is the value of another bound: that of IWAE is higher because it is
# tighter, whatever the model. To compare, judge all by the same estimate.
#
# ## Judged alike
#
# `iwax.evaluate` estimates log p(x) of the test images from many samples of each, the same images for all models.

# %%
judged = {
    name: iwax.evaluate(result.model, data.test[:TEST_IMAGES], jax.random.key(2), num_samples=EVALUATION_SAMPLES)
    for name, result in results.items()
}
print(f"{'':15s} {'log p':>8s}  {'± images':>8s} {'ELBO':>8s} {'-KL(Q||P)':>9s} {'active units':>12s}")
for name, evaluation in judged.items():
    found = evaluation.summary()
    print(
        f"{name:15s} {found['log_p']:8.2f}  {found['log_p_test_error']:8.2f} {found['elbo']:8.2f} "
        f"{found['neg_kl']:9.2f} {found['active_units'][0]:12d}"
    )

# %% [markdown]
# What to see: the error over test images is larger than most differences between models. That does not mean that
# nothing is known: the images are the same, and hard images are hard for all.
#
# ## How sure is a difference?
#
# Image by image, most of that error cancels.

# %%
for name in list(judged)[1:]:
    print(f"{name} less the VAE: {compare_evaluations(judged[name], judged['VAE, ELBO(16)'])}")
print(f"PIWAE less IWAE: {compare_evaluations(judged['PIWAE(4, 4)'], judged['IWAE(16)'])}")

# %% [markdown]
# One run of each says nothing of another seed; [which objective](../which-objective.md) has the larger runs, and what
# seeds add.
#
# ## What a tighter bound costs
#
# A tighter bound tells the encoder less: the signal of its gradient falls faster than the noise (Rainforth et al.,
# 2018). So draw the gradient of each objective many times at one model, here the VAE, and divide the mean of each
# coordinate by its standard deviation.

# %%
PLAIN = {
    "VAE, ELBO(16)": iwax.ELBO(num_samples=16),
    "IWAE(16)": iwax.IWAE(num_samples=16),
    "MIWAE(4, 4)": iwax.MIWAE(num_groups=4, num_samples=4),
    "PIWAE(4, 4)": iwax.PIWAE(num_groups=4, num_samples=4),
    "IWAE(16), doubly reparameterized": objectives["IWAE(16)"],
}
at = results["VAE, ELBO(16)"].model
x = (data.train[:20].reshape(20, -1) > 127).astype(np.float32)
for name, objective in PLAIN.items():
    found = iwax.gradient_snr(at, objective, x, jax.random.key(3), num_replicates=REPLICATES)
    print(
        f"{name:33s} encoder {found.inference.summary()['snr']:.2f}   decoder {found.generative.summary()['snr']:.2f}"
    )

# %% [markdown]
# What to see: by the plain gradient IWAE's encoder has the least signal, the groups of MIWAE and PIWAE give a part of
# it back, and PIWAE's decoder still climbs the tight bound. The last line has the same expectation as the plain IWAE
# and less noise, which is why `gradient="doubly-reparameterized"` stands in all of the above. See
# [signal-to-noise](../gradient-snr.md).
#
# ## What it draws

# %%
figure, axes = plt.subplots(2, 1, figsize=(8, 2.4), num="Digits drawn from two models, VAE above and PIWAE below")
for axis, name in zip(axes, ("VAE, ELBO(16)", "PIWAE(4, 4)"), strict=True):
    digits = sample_images(results[name].model, 12, jax.random.key(4))
    axis.imshow(np.hstack(digits.reshape(12, 28, 28)), cmap="gray", vmin=0, vmax=1)
    axis.set_ylabel(name.split(",")[0].split("(")[0])
    axis.set_xticks([])
    axis.set_yticks([])

# %% [markdown]
# ## And now
#
# The same from the shell, one line each: `iwax train --objective piwae --num-groups 4 --num-samples 4 --gradient
# doubly-reparameterized --dataset mnist-sample --out runs/piwae`, `iwax evaluate runs/piwae`, `iwax compare
# runs/piwae runs/vae`. What to take for your own model says [which objective](../which-objective.md).
