__version__: str

# No public names, but there all the same, as every module is; attach_stub does not count these two lines.
import iwax.errors
import iwax.evaluation
import iwax.judging
import iwax.runs
import iwax.training
import iwax.zoo

from . import data as data
from . import objectives as objectives
from .diagnostics import gradient_snr as gradient_snr
from .evaluation import Evaluation as Evaluation
from .evaluation import evaluate as evaluate
from .evaluation import log_likelihood as log_likelihood
from .models import ARCHITECTURES as ARCHITECTURES
from .models import VAE as VAE
from .models import LinearGaussian as LinearGaussian
from .models import batched as batched
from .models import check_model as check_model
from .models import freeze as freeze
from .objectives import CIWAE as CIWAE
from .objectives import ELBO as ELBO
from .objectives import IWAE as IWAE
from .objectives import MIWAE as MIWAE
from .objectives import OBJECTIVES as OBJECTIVES
from .objectives import PIWAE as PIWAE
from .objectives import Objective as Objective
from .objectives import loss as loss
from .objectives import per_example_loss as per_example_loss
from .training import Alternating as Alternating
from .training import FitResult as FitResult
from .training import fit as fit
from .zoo import load as load

# iwax.NAME for iwax.evaluation.NAME; no import, which attach_stub would count.
judge_log_weights = iwax.evaluation.judge_log_weights
encode = iwax.evaluation.encode
