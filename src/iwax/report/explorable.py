"""Which models the page's explorer offers: those of the best runs at hand, and those that come with iwax."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from iwax import zoo
from iwax.data import DATASETS, Dataset, load
from iwax.errors import IwaxError
from iwax.evaluation import first_examples
from iwax.files import dumps
from iwax.report.explorer import is_explorable, pack
from iwax.report.format import nats
from iwax.report.gather import Run
from iwax.runs import RunConfig, RunIndex, load_run, resolve

__all__ = ["explorable"]

MODELS = 4  # half a megabyte each
TEST_IMAGES = 500  # for the activity of units


class Source(NamedTuple):
    """A model that the explorer might show.

    Attributes:
        title: what it is.
        signature: of all that what is packed depends on; "" where that may change without a trace.
        load: the model, its data, and the rule by which their test images are binarised to judge it.
    """

    title: str
    signature: str
    load: Callable[[], tuple[Any, Dataset, str]]


def explorable(
    runs: Sequence[Run], data_dir: str | None, log: Callable[[str], None], place: str | Path = "."
) -> list[dict[str, Any]]:
    """Up to `MODELS` models with their titles, packed for the explorer.

    Arguments:
        runs: the best of each data set first; one for each data set and architecture is taken.
        data_dir: folder of the data sets.
        log: told what had to be left out, and why.
        place: the folder of the runs; where they are very many, its index knows what was packed before, so that neither
            models nor data are loaded.
    """
    packed: list[dict[str, Any]] = []
    with RunIndex(place, len(runs)) as index:
        for source in [*_of_runs(runs, data_dir), *_trained(runs, data_dir)]:
            if len(packed) == MODELS:
                break
            try:
                made = index.value("explorer", source.title, source.signature, partial(_pack, source))
            except (IwaxError, OSError) as error:
                log(f"The explorer leaves out {source.title}: {error}")
                continue
            if made is not None:
                packed.append({"title": source.title, "packed": made})
    return packed


def _pack(source: Source) -> dict[str, Any] | None:
    """None for a model that the explorer cannot show."""
    model, data, rule = source.load()
    if not is_explorable(model):
        return None
    x = first_examples(data, rule, seed=0, count=min(TEST_IMAGES, len(data.test)))
    return pack(model, x, jax.random.key(0))


def _of_runs(runs: Sequence[Run], data_dir: str | None) -> Iterator[Source]:
    done: set[tuple[str, str]] = set()
    for run in runs:
        kind = (run.record.config["dataset"], run.record.config["model"])
        if run.folder is not None and run.nll is not None and kind not in done:
            done.add(kind)
            signature = "" if run.judged is None else run.judged.signature  # the data's checksums are in these files
            yield Source(run.title, signature, partial(_load_run, run.folder, data_dir))


def _trained(runs: Sequence[Run], data_dir: str | None) -> Iterator[Source]:
    """The models that come with iwax, but those whose runs are at hand."""
    there = {run.record.checkpoint_sha256 for run in runs if run.folder is not None}
    for name, record in zoo.records().items():
        if record["checkpoint_sha256"] not in there:
            title = f'iwax.load("{name}"), {record["dataset"]}: log p {nats(record["half_precision"]["log_p"])}'
            signature = dumps([record["checkpoint_sha256"], DATASETS[record["dataset"]].checksums])
            yield Source(title, signature, partial(_load_trained, name, record, data_dir))


def _load_run(folder: Path, data_dir: str | None) -> tuple[Any, Dataset, str]:
    run = load_run(folder, data_dir=data_dir, code=False)  # a report shows what others send, too
    return run.model, run.data, run.resolved.test_binarize


def _load_trained(name: str, record: dict[str, Any], data_dir: str | None) -> tuple[Any, Dataset, str]:
    rule = resolve(RunConfig(**record["config"])).test_binarize
    return zoo.load(name), load(record["dataset"], None, data_dir), rule
