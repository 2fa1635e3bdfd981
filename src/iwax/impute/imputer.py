"""`Imputer`: a scikit-learn estimator that fills what is missing in a table."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from iwax.checks import check_positive_integer
from iwax.errors import IwaxError, NoticeWarning
from iwax.extras import missing
from iwax.impute.fitting import FittedTable, fit_table
from iwax.impute.frames import Frame
from iwax.impute.heldout import ColumnError, hide, measure
from iwax.impute.result import TableImputation
from iwax.impute.settings import Settings

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise missing("sklearn", "Imputer") from error

__all__ = ["Imputer"]


class Imputer(TransformerMixin, BaseEstimator):
    """Fills missing values of a table (NaN, None, or null) by a latent-variable model of its rows.

    `fit` trains the model on what is observed; `transform` gives back the same kind of table, NumPy's, pandas' or
    Polars', with the mean of each missing value given what its row shows (the most probable value of categories).
    Why values are missing is taken to depend on observed ones alone, unless `missingness` says otherwise.

    Arguments:
        kinds: one of `iwax.impute.KINDS` for all columns, or {name: kind} for some; others are inferred.
        missingness: "ignorable" (missing at random); or each value's own size decides whether it is seen, an assumption
            that no data can test: "self-masking-above" or "self-masking-below", where large or small values go missing;
            "self-masking" or "self-masking-nonlinear", where it is not known which.
        latent_size, hidden_sizes, constant_spreads: of the model; see `iwax.impute.Settings`.
        train_samples, epochs, validation, batch_size, learning_rate: of its training; see there, too.
        num_samples: importance samples for each row in `transform`.
        sample_posterior: let `transform` draw the missing values instead, as multiple imputation does.
        held_out: fraction of the observed values that training never sees, by which `errors_` are measured.
        random_state: seed, or a RandomState.

    Attributes:
        fitted_: the trained `FittedTable`: its `columns`, with kinds, its `model`, and its `records` of training.
        errors_: a `ColumnError` for each column, if anything was held out.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 1)) + 0.1 * rng.normal(size=(100, 3))
    >>> X[::2, 0] = np.nan
    >>> complete = Imputer(epochs=5, num_samples=64, random_state=0).fit(X).transform(X)
    >>> bool(np.isfinite(complete).all())
    True
    """

    def __init__(
        self,
        *,
        kinds: str | Mapping[str, str] | None = None,
        missingness: str = "ignorable",
        latent_size: int = 10,
        hidden_sizes: Sequence[int] = (128, 128),
        constant_spreads: bool | None = None,
        train_samples: int | None = None,
        epochs: int | None = None,
        validation: float | None = None,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        num_samples: int = 1000,
        sample_posterior: bool = False,
        held_out: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.kinds = kinds
        self.missingness = missingness
        self.latent_size = latent_size
        self.hidden_sizes = hidden_sizes
        self.constant_spreads = constant_spreads
        self.train_samples = train_samples
        self.epochs = epochs
        self.validation = validation
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.num_samples = num_samples
        self.sample_posterior = sample_posterior
        self.held_out = held_out
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "Imputer":
        """Train on the observed values of a table, (rows, columns)."""
        check_positive_integer("num_samples", self.num_samples)  # of `transform`, which is after training
        frame = self._frame(X, reset=True)
        key = jax.random.key(self._seed())
        settings = Settings(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Settings)})
        hidden = hide(frame.table, self.held_out, key) if self.held_out else None
        self.fitted_: FittedTable = fit_table(frame.names, frame.table, settings, key, hidden=hidden)
        self.errors_: list[ColumnError] = []
        if hidden is not None:
            self.errors_ = measure(self.fitted_, frame.table, hidden, key, num_samples=self.num_samples)
        return self

    def transform(self, X: Any) -> Any:
        """The same kind of table with its missing values filled: by their means, or drawn if `sample_posterior`.

        Warns (NoticeWarning) where medians stand in place of means; see `TableImputation.completed`.
        """
        frame, found = self._impute(X, multiple=int(self.sample_posterior))
        if found.of_tails and not self.sample_posterior:
            warnings.warn(found.of_tails, NoticeWarning, stacklevel=2)
        return frame.with_columns(found.multiple[0] if self.sample_posterior else found.completed)

    def multiple(self, X: Any, num_imputations: int = 20) -> list[Any]:
        """So many tables with the missing values drawn given the observed ones, for Rubin's rules."""
        frame, found = self._impute(X, multiple=num_imputations)
        return [frame.with_columns(table) for table in found.multiple]

    def intervals(self, X: Any, level: float = 0.9) -> tuple[Any, Any]:
        """Two tables: below and above what is missing with probability `level`; observed values stay.

        They are quantiles of 200 draws, of more for a level above 0.95; one above 0.999 is refused.
        """
        frame, found = self._impute(X, level=level)
        return frame.with_columns(found.lower), frame.with_columns(found.upper)

    def impute(self, X: Any, *, multiple: int = 0, level: float = 0.9) -> TableImputation:
        """All that is found for a table: means and their errors, intervals, draws, and of each row log p and k-hat."""
        return self._impute(X, multiple=multiple, level=level)[1]

    def log_likelihood(self, X: Any) -> np.ndarray:
        """log p(x_obs) of each row in nats, (rows,), from `num_samples` samples of z."""
        return self._impute(X)[1].log_likelihood

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the columns, as they went in."""
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        if input_features is not None:
            given = np.asarray(input_features, object)
            if len(given) != self.n_features_in_:
                raise IwaxError("Expected input_features to have length equal to number of features, n_features_in_.")
            if names is not None and list(given) != list(names):
                raise IwaxError(f"Expected input_features is equal to feature_names_in_; got {list(given)}.")
            return given
        return np.array([f"x{j}" for j in range(self.n_features_in_)] if names is None else names, object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _impute(self, X: Any, *, multiple: int = 0, level: float = 0.9) -> tuple[Frame, TableImputation]:
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        key = jax.random.fold_in(jax.random.key(self._seed()), 1)
        found = self.fitted_.impute(frame.table, key, num_samples=self.num_samples, multiple=multiple, level=level)
        return frame, found

    def _seed(self) -> int:
        """The same at every call where `random_state` is a number; where it is None, one for the whole life."""
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        if not hasattr(self, "seed_"):
            self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        return self.seed_

    def _frame(self, X: Any, *, reset: bool) -> Frame:
        """The columns of X, checked by scikit-learn as it checks all."""
        is_frame = hasattr(X, "collect") or hasattr(X, "columns")  # the first of which is a lazy one's
        frame = Frame.of(X) if is_frame else None  # first, as what it refuses is told in one line
        checked = validate_data(
            self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=1 + reset
        )
        return Frame.of(checked) if frame is None else frame
