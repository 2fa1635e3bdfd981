"""Models: pairs of a generative and an inference density. They know nothing of objectives."""

from iwax.models.batched import batched
from iwax.models.check import check_model
from iwax.models.custom import OWN_MODULE, OwnModel, is_own
from iwax.models.distributions import Bernoulli, DiagonalNormal, MarkovChain
from iwax.models.keyed import takes_key, with_key
from iwax.models.linear_gaussian import LinearGaussian
from iwax.models.model import FactorizedModel, GroupedModel, Model, Posterior, checked_log_joint, draw, freeze
from iwax.models.networks import INITS, SCALE_MAPS, BernoulliBlock, Dense, GaussianBlock
from iwax.models.precision import PRECISIONS, matrix_precision
from iwax.models.vae import ARCHITECTURES, LIKELIHOODS, VAE

__all__ = [
    "ARCHITECTURES",
    "INITS",
    "LIKELIHOODS",
    "OWN_MODULE",
    "PRECISIONS",
    "SCALE_MAPS",
    "VAE",
    "Bernoulli",
    "BernoulliBlock",
    "Dense",
    "DiagonalNormal",
    "FactorizedModel",
    "GaussianBlock",
    "GroupedModel",
    "LinearGaussian",
    "MarkovChain",
    "Model",
    "OwnModel",
    "Posterior",
    "batched",
    "check_model",
    "checked_log_joint",
    "draw",
    "freeze",
    "is_own",
    "matrix_precision",
    "takes_key",
    "with_key",
]
