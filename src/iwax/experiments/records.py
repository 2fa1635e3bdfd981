"""The record of a run, results/ID.json: what was trained, what came of it, and what made it. It imports no JAX.

ID is made by `iwax.runs.identifier`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Required, TypedDict

from iwax.checks import check_choice
from iwax.errors import IwaxError
from iwax.files import dumps, loads, read_text
from iwax.reading import Count, check_type, types_of
from iwax.runs import RunConfig

__all__ = ["SCALE_NAMES", "SCHEMA", "Record", "read_record", "read_records"]

SCHEMA = 1
SCALE_NAMES = ("smoke", "trial", "short", "full")  # from the least to be trusted
Numbers = dict[str, float | None]
Curve = list[tuple[float, float | None]]


class Training(TypedDict, total=False):
    """What a record has of training, as far as a report reads it."""

    epochs: Required[Count]
    steps: Required[Count]
    seconds: Required[float]
    flop: float | None
    final_bound: Required[float | None]
    curve: Required[Curve]
    beta: Curve
    early_epochs: Count


class Values(TypedDict, total=False):
    """The same of what was judged; null is a number that is not finite."""

    log_p: Required[float | None]
    iwae_64: Required[float | None]
    minus_kl: Required[float | None]
    elbo: float | None


class Judgement(TypedDict, total=False):
    """The same of its evaluation."""

    num_images: Required[Count]
    num_samples: Required[Count]
    seed: Count
    test_hash: str
    active_units: Required[list[Count]]
    holding_units: list[Count]
    values: Required[Values]
    mc_error: Required[Numbers]
    data_error: Required[Numbers]
    seconds: float


class Similarity(TypedDict, total=False):
    """The same of its SSIM on a data set."""

    ssim: Required[float | None]
    ssim_std: float | None
    ssim_test_error: float | None
    num_examples: Count


class Form(TypedDict, total=False):
    """A file of results/; `asked`, `started_from` and `config` are looked at by the fields of RunConfig."""

    id: str
    scale: str
    asked: dict[str, Any]
    config: dict[str, Any]
    training: Training
    evaluation: Judgement
    machine: dict[str, str | float | None]
    versions: dict[str, str]
    commit: str | None
    command: str
    date: str
    checkpoint_sha256: str
    started_from: dict[str, Any] | None
    along: list[tuple[Count, Numbers]]
    ssim: dict[str, Similarity]
    sheets: dict[str, str]
    checks: dict[str, bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One file of results/.

    Attributes:
        id: see above; also the name of the file.
        scale: "smoke", "trial", "short" or "full".
        asked: the fields of the configuration that are not as they would be if left out.
        started_from: the same of the run whose model this one started from, if any.
        config: the whole configuration, every default filled in.
        training: epochs, steps, seconds, flop, final_bound (nats), curve: [[epoch, bound], ...], at most 200 of them;
            early_epochs, the first of them, whose bounds have the early_samples of the configuration, if there are any.
        evaluation: num_images, num_samples, binarize, seed; values, mc_error and data_error of log_p, iwae_64, elbo
            and minus_kl in nats; active_units by layer, and holding_units, those active by KL given the layer
            above, where known; khat_quantiles, khat_above_0.5 and khat_above_0.7 in newer ones; seconds, of all images
            at the rate of the last session; flop.
        along: [[epoch, {"log_p", "iwae_64", "minus_kl"}], ...] of some test images, if asked for.
        ssim: data set judged on -> {"ssim", "ssim_std", "ssim_test_error", "num_examples"}.
        sheets: "samples", "reconstructions" and "across", those of another data set -> name of a picture in the folder
            sheets/ beside the record.
        machine, versions, commit, command, date: what made it.
        checkpoint_sha256: of the content of the trained model's last checkpoint.
        checks: what the run verified of itself -> whether it held.
    """

    id: str
    scale: str
    asked: Mapping[str, Any]
    config: Mapping[str, Any]
    training: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    commit: str | None
    command: str
    date: str
    checkpoint_sha256: str
    started_from: Mapping[str, Any] | None = None
    along: tuple = ()
    ssim: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sheets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    checks: Mapping[str, bool] = dataclasses.field(default_factory=dict)

    @property
    def curve(self) -> list[tuple[float, float | None]]:
        """The training bound against the epoch, without those of the fewer samples of an early part."""
        return [point for point in self.training["curve"] if point[0] > self.training.get("early_epochs", 0)]

    @property
    def has_curve(self) -> bool:
        """Whether that is more than a point; asked of the last two, as curves are long."""
        early = self.training.get("early_epochs", 0)
        return sum(point[0] > early for point in self.training["curve"][-2:]) > 1

    def value(self, metric: str, judged_on: str = "") -> float | tuple[int, ...] | None:
        """The number of a cell's metric; None if the record has none."""
        if metric == "ssim":
            return self.ssim.get(judged_on or self.config["dataset"], {}).get("ssim")
        if metric == "active_units":
            return tuple(self.evaluation["active_units"])
        value = self.evaluation["values"].get("log_p" if metric == "nll" else metric)
        return -value if metric == "nll" and value is not None else value

    @property
    def has_biased_backward(self) -> bool:
        """Whether several layers were resampled by the key of their own noise, as before `iwax.keys`."""
        resampled = self.config.get("backward") == "resampled" and "keys" not in self.evaluation
        return resampled and self.config.get("model") not in ("one-layer", "larger")

    def to_json(self) -> str:
        """A line for each field."""
        fields = {"schema": SCHEMA, **dataclasses.asdict(self)}
        return "{\n" + ",\n".join(f" {dumps(name)}: {dumps(v)}" for name, v in fields.items()) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Raises ValueError for text that is no record of this schema."""
        values = loads(text)
        if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
            raise IwaxError(
                f"Expected a record of schema {SCHEMA}; got other JSON. Make it afresh with `iwax reproduce`."
            )
        needed = {f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING}
        missing, unknown = needed - values.keys(), values.keys() - {field.name for field in dataclasses.fields(cls)}
        if missing or unknown:
            got = [f"no {name}" for name in sorted(missing)] + [f"an unknown {name}" for name in sorted(unknown)]
            raise IwaxError(f"Expected a record with the fields of schema {SCHEMA}; got {', '.join(got)}.")
        _check_values(values)
        return cls(**values | {"along": tuple(values.get("along", ()))})


def _check_values(values: Mapping[str, Any]) -> None:
    """Raises ValueError for values of another type, an unknown scale, and pictures that lie elsewhere."""
    check_type(values, Form, "a record")
    check_choice("its scale", values["scale"], SCALE_NAMES)
    for name in values.get("sheets", {}).values():
        if name in ("", ".", "..") or Path(name).name != name or "\\" in name:
            raise IwaxError(f"Expected its sheets to be names of files in the folder sheets; got {name!r}.")
    hints = types_of(RunConfig)
    for what in ("asked", "config", "started_from"):
        for name, value in (values.get(what) or {}).items():
            check_type(value, hints.get(name, Any), f"{name} of its {what}")
    if missing := {"objective", "dataset"} - values["config"].keys():
        raise IwaxError(f"Expected its config to have objective and dataset; it has no {missing.pop()}.")


def read_records(folder: str | Path, left_out: Callable[[str], None] | None = None) -> list[Record]:
    """The records in a folder, by ID; [] where there is no folder.

    Arguments:
        left_out: told of each file that is no record, which is then left out; such a file is an error if left out.

    Raises:
        ValueError: a file that is no record, or whose name is not its ID.
    """
    return list(_read(sorted(Path(folder).glob("*.json")), left_out))


def _read(paths: Iterable[Path], left_out: Callable[[str], None] | None) -> Iterable[Record]:
    for path in paths:
        try:
            yield read_record(path)
        except IwaxError as error:
            if left_out is None:
                raise
            left_out(f"Left out a record. {error}")


def read_record(path: Path) -> Record:
    """The record of a file. Raises ValueError for a file that is no record, or whose name is not its ID."""
    text = read_text(path)
    try:
        record = Record.from_json(text)
    except IwaxError as error:
        raise IwaxError(f"Expected {path} to be a record; {error}") from None
    if record.id != path.stem:
        raise IwaxError(f"Expected {path} to hold the record of that name; got {record.id}.")
    return record
