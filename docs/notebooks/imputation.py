# %% [markdown]
# # A table with holes
#
# A third of the values of a table are missing. A latent-variable model of its rows is trained on what is there, by an
# importance-weighted bound (MIWAE of Mattei and Frellsen, 2019), and then says of each missing value what it may be:
# a mean, an interval, draws. At the end you have compared it with scikit-learn's imputers, and know which of its
# numbers to trust.
#
# It needs `pip install "iwax[impute]"`.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer

from iwax.impute import Imputer

# %% tags=["parameters"]
EPOCHS = None  # as many as the table needs
SAMPLES = 1000
TABLES = 20

# %% [markdown]
# ## The holes
#
# The table is scikit-learn's of 178 wines, 13 measurements of each. We make the holes ourselves, so that the truth is
# known. Whether a value is missing does not depend on what it is; where it does, see [missing
# data](../imputation.md#values-missing-because-of-what-they-are).

# %%
table = load_wine(as_frame=True).data
rng = np.random.default_rng(0)
hole = rng.random(table.shape) < 1 / 3
seen = table.mask(hole)
scale = table.std().to_numpy()
print(f"{hole.sum()} of {hole.size} values are missing, in {hole.any(axis=1).sum()} of {len(table)} rows")

# %% [markdown]
# ## Filled
#
# `Imputer` is an estimator of scikit-learn: NumPy, pandas and Polars go in, and the same comes out. It standardises
# the columns, and says by what kind of density it takes each; `held_out=0.1` keeps a tenth of the observed values out
# of training to measure itself by. The table is small, so a tenth of its rows first says how long to train, and then
# all are trained on.

# %%
imputer = Imputer(kinds="gaussian", epochs=EPOCHS, num_samples=SAMPLES, held_out=0.1, random_state=0).fit(seen)
filled = imputer.transform(seen)


def rmse(guess):
    """Of the missing values, in standard deviations of their columns."""
    return np.sqrt(np.mean((((guess - table) / scale).to_numpy()[hole]) ** 2))


others = {
    "column means": SimpleImputer(),
    "IterativeImputer": IterativeImputer(max_iter=20, random_state=0),
}
for name, other in others.items():
    print(f"{name:20s} RMSE {rmse(other.set_output(transform='pandas').fit_transform(seen)):.3f}")
print(f"{'iwax':20s} RMSE {rmse(filled):.3f}")

# %% [markdown]
# What to see: here the means of the model are the closest. [The page](../imputation.md#numbers) compares more methods
# on seven tables. What the model has beyond means is that it says how uncertain each value is.
#
# ## How uncertain is a value?
#
# An interval of 90 % should hold the truth nine times in ten. Do not take that on trust: the values that were held
# out say what it is on this table.

# %%
low, high = imputer.intervals(seen, 0.9)
inside = ((low <= table) & (table <= high)).to_numpy()[hole]
print(f"90 % intervals hold {inside.mean():.0%} of the missing values")
worst = sorted(imputer.errors_, key=lambda error: error.error)
for error in (worst[0], worst[-1]):
    print(f"{error.name}: error {error.error:.2f} on held-out values, of the mean {error.baseline:.2f}")

# %% [markdown]
# Two things can make an interval wrong. One is too few samples, which k-hat tells; the other is the model, which only
# held-out values tell. With 178 rows the second is the one to watch: with `epochs=300`, or another number of your own,
# no rows are held out, and a model that is trained for too long knows the table better than what it stands for, so that
# its intervals are too narrow.

# %%
found = imputer.impute(seen)
print(f"k-hat above 0.7 in {np.mean(found.khat > 0.7):.0%} of the rows; {found.advice or 'the weights are fine'}")
figure, axis = plt.subplots(figsize=(7, 3.2), num="Missing values against what was imputed, standardised")
standard = [((frame - table.mean()) / scale).to_numpy()[hole] for frame in (table, filled)]
axis.plot(*standard, ".", markersize=3)
axis.plot([-2, 3], [-2, 3], "k", linewidth=0.5)
axis.set(xlabel="the value that was hidden", ylabel="imputed mean")

# %% [markdown]
# Imputed means vary less than the values do, as means must. So do not compute with them what depends on the spread:
#
# ## Draw, compute, pool
#
# Multiple imputation draws several complete tables, computes on each, and pools by Rubin's rules: the variance of the
# answer is the mean of its variances plus that between the tables.

# %%
tables = imputer.multiple(seen, TABLES)


def pooled(column):
    """Mean of a column and its standard error, by Rubin's rules."""
    means = np.array([one[column].mean() for one in tables])
    within = np.mean([one[column].var() / len(one) for one in tables])
    return means.mean(), np.sqrt(within + (1 + 1 / TABLES) * means.var(ddof=1))


for column in ("alcohol", "proline"):
    value, error = pooled(column)
    spread = np.mean([one[column].std() for one in tables])
    print(f"{column}: mean {value:.2f} ± {error:.2f} (without holes {table[column].mean():.2f})", end="; ")
    print(f"sd {spread:.2f} of draws, {filled[column].std():.2f} of means, {table[column].std():.2f} without holes")

# %% [markdown]
# ## And now
#
# The same from the shell: `iwax impute table.csv --out done.csv --multiple 20`, with a report of the same checks. The
# page [missing data](../imputation.md) has the kinds of columns, categories among them, and values that are missing
# because of what they are.
