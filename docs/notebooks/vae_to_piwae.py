# %% [markdown]
# # From VAE to IWAE to PIWAE
#
# This notebook trains one model four times on the digits that come with iwax: on the ELBO, on a tighter bound (IWAE),
# and on two bounds that give the inference network a stronger gradient signal (MIWAE, PIWAE). It shows what a tighter
# bound costs, and how certain a difference between two models is. Everything is in nats.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

import iwax
from iwax.evaluation import compare_evaluations, sample_images

# %% [markdown]
# The sizes. Every objective draws 16 samples of z per image, so all cost about the same.

# %% tags=["parameters"]
EPOCHS = 20
TRAIN_IMAGES = 2000
TEST_IMAGES = 500
EVALUATION_SAMPLES = 640
REPLICATES = 200

# %% [markdown]
# ## The data and the model
#
# `mnist-sample` has 2,000 digits for training and 500 for testing. Each time an image is used, its pixels are drawn
# black or white with the probability given by their grey values. The model is that of Burda et al. (2015) with one
# layer of 50 latents.

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
# - the **ELBO** is their mean. A VAE maximises it;
# - **IWAE(16)** is the log of the mean weight, a tighter bound;
# - **MIWAE(4, 4)** is the mean of four IWAE(4);
# - **PIWAE(4, 4)** trains each network on its own bound: the decoder on IWAE(16), the encoder on MIWAE(4, 4).

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
# **These numbers do not rank the models.** Each is the value of a different bound. For one and the same model IWAE
# would be the highest, because it is the tightest. To compare models, evaluate all in the same way.
#
# ## The same evaluation for all
#
# `iwax.evaluate` estimates log p(x) from many samples of each test image, and all models see the same images.

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
# The error over test images, 1.4 nats, is about as large as most differences between the models. Still, the
# differences are known better than that: the images are the same, and an image that is hard for one model is hard for
# the others.
#
# ## How certain is a difference?
#
# In a difference taken image by image, most of that error cancels.

# %%
for name in list(judged)[1:]:
    print(f"{name} less the VAE: {compare_evaluations(judged[name], judged['VAE, ELBO(16)'])}")
print(f"PIWAE less IWAE: {compare_evaluations(judged['PIWAE(4, 4)'], judged['IWAE(16)'])}")

# %% [markdown]
# After 20 epochs on 2,000 images, IWAE(16) is 3.3 nats behind the VAE, and PIWAE(4, 4) recovers more than half of that.
# This is a short run. After 160 epochs on all of MNIST, IWAE(64) is ahead of the VAE and PIWAE(8, 8) is ahead of both;
# [which objective](../which-objective.md) has these runs, and the errors over seeds that single runs cannot show.
#
# ## What a tighter bound costs
#
# Why is IWAE so slow to train? A tighter bound gives the encoder a weaker gradient: its signal falls faster than its
# noise (Rainforth et al., 2018). To see this, draw the gradient of each objective many times at one model, here the
# VAE, and divide the mean of each coordinate by its standard deviation.

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
# With the plain gradient, IWAE's encoder has the lowest signal-to-noise ratio. The groups of MIWAE and PIWAE double it,
# and PIWAE's decoder is still trained on the tight bound. The gradient of the last line has the same expectation as the
# plain IWAE gradient and less noise; all four models above were trained with it. See
# [signal-to-noise](../gradient-snr.md).
#
# ## Samples

# %%
figure, axes = plt.subplots(2, 1, figsize=(8, 2.4), num="Digits drawn from two models, VAE above and PIWAE below")
for axis, name in zip(axes, ("VAE, ELBO(16)", "PIWAE(4, 4)"), strict=True):
    digits = sample_images(results[name].model, 12, jax.random.key(4))
    axis.imshow(np.hstack(digits.reshape(12, 28, 28)), cmap="gray", vmin=0, vmax=1)
    axis.set_ylabel(name.split(",")[0].split("(")[0])
    axis.set_xticks([])
    axis.set_yticks([])

# %% [markdown]
# ## Next steps
#
# The same on the command line: `iwax train --objective piwae --num-groups 4 --num-samples 4 --gradient
# doubly-reparameterized --dataset mnist-sample --out runs/piwae`, `iwax evaluate runs/piwae`, `iwax compare
# runs/piwae runs/vae`. For advice on your own model, read [which objective](../which-objective.md).
