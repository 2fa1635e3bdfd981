"""Training recipes as values, each with its source."""

import dataclasses

import optax

__all__ = ["PROTOCOLS", "Protocol", "get_protocol"]

# The schedule of Burda et al.: stage i lasts 3^i epochs at 1e-3 10^(-i/7), i = 0..7; 3280 epochs in all.
BURDA_STAGES = tuple((1e-3 * 10 ** (-i / 7), 3**i) for i in range(8))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a model is initialised and trained; everything but the model, the objective and the data.

    Gradients are of the mean loss over a minibatch. All rates, moments and epsilon are those of Adam (Kingma and Ba,
    2014), applied to every parameter alike.
    """

    name: str
    source: str
    batch_size: int
    stages: tuple[tuple[float, int], ...]
    """(learning rate, epochs), one after another."""
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    init: str = "glorot"
    """How weights are drawn: a name in `iwax.models.networks.INITS`."""
    output_bias: str = "data-mean"
    """Where the output layer's bias starts: "data-mean" or "zero"."""
    scale_map: str = "exp"
    """From a linear layer to a standard deviation: "exp" or "softplus"."""

    @property
    def epochs(self) -> int:
        """The length of the whole schedule."""
        return sum(epochs for _, epochs in self.stages)

    def learning_rate(self, steps_per_epoch: int) -> optax.Schedule:
        """The rate of each step; the last stage's goes on for ever."""
        rates, lengths = zip(*self.stages, strict=True)
        ends = [steps_per_epoch * sum(lengths[: i + 1]) for i in range(len(lengths) - 1)]
        return optax.join_schedules([optax.constant_schedule(rate) for rate in rates], ends)

    def optimiser(self, steps_per_epoch: int) -> optax.GradientTransformation:
        """Adam with this protocol's numbers."""
        return optax.adam(self.learning_rate(steps_per_epoch), self.beta1, self.beta2, self.epsilon)

    def scaled(self, factor: float) -> "Protocol":
        """The same schedule over `factor` times as many epochs; every stage keeps at least one."""
        if not factor > 0:
            raise ValueError(f"Expected factor to be positive; got {factor!r}.")
        stages = tuple((rate, max(1, round(epochs * factor))) for rate, epochs in self.stages)
        return dataclasses.replace(self, stages=stages)


PROTOCOLS: dict[str, Protocol] = {
    "burda-paper": Protocol(
        name="burda-paper",
        source='Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), arXiv:1509.00519: the '
        "paper's text. The output bias is not stated there; it starts at the data mean, as in the authors' code.",
        batch_size=20,
        stages=BURDA_STAGES,
        epsilon=1e-4,
    ),
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """A protocol by name, or the one given."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f"Expected protocol to be one of {', '.join(PROTOCOLS)}; got {protocol!r}.")
    return PROTOCOLS[protocol]
