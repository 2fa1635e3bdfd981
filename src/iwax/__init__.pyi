__version__: str

# No public names, but there all the same, as every module is; attach_stub does not count these two lines.
import iwax.units
import iwax.zoo  # noqa: F401

from . import data as data
from . import objectives as objectives
from .evaluate import evaluate as evaluate
from .evaluate import log_likelihood as log_likelihood
from .evaluation import Evaluation as Evaluation
from .models.batched import batched as batched
from .models.check import check_model as check_model
from .models.linear_gaussian import LinearGaussian as LinearGaussian
from .models.model import freeze as freeze
from .models.vae import ARCHITECTURES as ARCHITECTURES
from .models.vae import VAE as VAE
from .objectives import CIWAE as CIWAE
from .objectives import ELBO as ELBO
from .objectives import IWAE as IWAE
from .objectives import MIWAE as MIWAE
from .objectives import OBJECTIVES as OBJECTIVES
from .objectives import PIWAE as PIWAE
from .objectives import Objective as Objective
from .objectives import loss as loss
from .objectives import per_example_loss as per_example_loss
from .snr import gradient_snr as gradient_snr
from .train import FitResult as FitResult
from .train import fit as fit
from .updates import Alternating as Alternating
from .zoo import load as load
