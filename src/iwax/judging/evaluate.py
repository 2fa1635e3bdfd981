"""Judge a finished run: its evaluation, its samples and its reconstructions, written beside it."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from iwax.data import Dataset, test_set_hash
from iwax.errors import IwaxError
from iwax.evaluation import (
    ROWS,
    Evaluation,
    block_sizes,
    chunk_shape,
    evaluate_batches,
    first_examples,
    gather,
    samples_in_blocks,
    unit_variances,
)
from iwax.judging.other_data import ResultFiles, in_bits, judged_data, results_of
from iwax.judging.partial import PartialEvaluation, partial_evaluation
from iwax.judging.parts import add_to_clock, clock_of_parts, finished_parts, open_part, part_of
from iwax.judging.weights import pack_arrays, read_evaluation
from iwax.keys import EvaluationKeys
from iwax.progress import Progress
from iwax.runs import LoadedRun, RunFolder, check_time_limit
from iwax.zoo import open_run

__all__ = ["evaluate_run"]


def evaluate_run(
    run: str | Path | LoadedRun,
    *,
    num_samples: int = 5000,
    iwae_samples: int | Sequence[int] = 64,
    num_images: int | None = None,
    seed: int = 0,
    rows: int = ROWS,
    recompute: bool = False,
    dataset: str | Path | None = None,
    checkpoint: str | None = None,
    keys: type[EvaluationKeys] = EvaluationKeys,
    time_limit: float | None = None,
    data_dir: str | None = None,
    data: Dataset | None = None,
    parts: str | Path | None = None,
    part: tuple[int, int] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    log: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """The summary of a run's `evaluate`, also written to evaluation.json; values per image to evaluation.npz.

    Of another data set than the run was trained on, log p says how likely what lies outside its distribution is to the
    model; it is written beside, to evaluation-NAME.json and .npz. Bits per dimension stand where x is discrete.

    Finished images are kept as it goes: after an interruption, the same call goes on with the next one, and what comes
    out is the same to the bit. Once all are finished it returns what was written. Any other setting, model, code, or
    version starts again.

    Arguments:
        run: its folder, or the run itself, loaded; or what else `iwax.load` takes, whose results are not kept.
        num_samples: k, importance samples per image.
        iwae_samples: K of IWAE-K; several give several bounds, and the first gives -KL(Q||P).
        num_images: the first this many test images; all if left out.
        seed: of the binarisation and the samples.
        rows: (image, sample) pairs on the device at a time; changes rounding and speed only.
        recompute: compute everything again.
        dataset: whose test images, by name or path; the run's own if left out.
        checkpoint: "best", by the validation images, or "last"; if left out the best, where the run keeps it.
        keys: by which keys binarisation and samples are drawn; the former ones are for records that were.
        time_limit: stop after the batch in which so many seconds have passed; the result's "state" is then "stopped".
        data_dir: folder of the data sets.
        data: the data set itself, if it is loaded already.
        parts: a folder of parts that other processes have evaluated; they are not computed again.
        part: (i, n): compute part i of n alone, into `parts`; the result's "state" is then "part".
        on_progress: called now and then.
        log: told what was found, and what starts again and why.

    Raises:
        ValueError: no run, invalid settings, data of another shape, or another process is evaluating it.
    """
    check_time_limit(time_limit)
    begin = time.monotonic()
    sizes = block_sizes(iwae_samples)
    num_samples = samples_in_blocks(num_samples, sizes)
    run = open_run(run, data_dir=data_dir, data=data, checkpoint=checkpoint)
    judged = judged_data(run, dataset, data_dir)
    folder, files = run.folder, results_of(run, judged)
    x = first_examples(judged, run.resolved.test_binarize, seed=seed, count=num_images, keys=keys)
    settings = {
        **{"num_samples": num_samples, "iwae_samples": list(sizes), "seed": seed, "rows": rows, "keys": keys.__name__},
        **{"num_examples": len(x), "binarize": run.resolved.test_binarize, "test_hash": test_set_hash(x)},
        **run.made_from,
        **({} if judged is run.__dict__.get("data") else {"judged_data": dict(judged.checksums)}),
    }
    if not recompute and (written := _written(folder, files, settings, log)) is not None:
        log(f"{files.summary} holds this evaluation already; --recompute computes it again.")
        return written
    own = keys.of_seed(seed)
    batch = chunk_shape(len(x), num_samples, rows)[0]
    these = slice(0, len(x)) if part is None else part_of(*part, len(x), batch)
    with _open(folder.path / files.partial, settings, None if part is None else these, parts) as finished:
        before = these.start + _take_up(finished, batch, recompute, log)
        found = [finished.values] if before > these.start else []
        for values in finished_parts(parts, settings, before) if part is None else ():
            finished.append(values)
            found.append(values)
            before += len(values["log_likelihood"])
        for examples, values in evaluate_batches(
            run.model, x, own.samples, num_samples=num_samples, block_sizes=sizes, rows=rows, start=before
        ):
            if examples.start >= these.stop:
                break
            finished.append(values)
            found.append(values)
            seconds = time.monotonic() - begin
            if on_progress is not None:
                rate = (examples.stop - before) / max(seconds, 1e-9)
                on_progress(Progress(examples.stop, these.stop, f"{examples.stop}/{these.stop} examples, {rate:.1f}/s"))
            if time_limit is not None and seconds > time_limit and examples.stop < these.stop:
                return {"state": "stopped", "num_examples": examples.stop, "total_examples": len(x), "seconds": seconds}
        if part is not None:
            seconds = time.monotonic() - begin
            add_to_clock(Path(parts or ""), these, these.stop - before, seconds)
            return {"state": "part", "num_examples": these.stop - these.start, "seconds": seconds}
        values = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        variances = unit_variances(run.model, x, own.units)
        result = gather(values, sizes, variances, num_samples, settings["test_hash"])
        elsewhere, seconds = (0, 0.0) if parts is None else clock_of_parts(Path(parts))
        summary = _summary(result, run, settings, time.monotonic() - begin + seconds, max(before - elsewhere, 0))
        summary |= in_bits(run, judged, x, result.log_likelihood) | files.about
        (folder.path / files.summary).unlink(missing_ok=True)  # or, interrupted, it would stand beside other arrays
        folder.write(files.arrays, pack_arrays(result))
        folder.write_json(files.summary, summary)
        (folder.path / files.partial).unlink()
    return summary


def _open(
    path: Path, settings: dict[str, Any], part: slice | None, parts: str | Path | None
) -> AbstractContextManager[PartialEvaluation]:
    """The finished examples of an evaluation, or of a part of it."""
    if part is None:
        return partial_evaluation(path, settings)
    if parts is None:
        raise IwaxError("Expected a folder of parts together with a part; got none.")
    return open_part(Path(parts), part, settings)


def _written(
    folder: RunFolder, files: ResultFiles, settings: dict[str, Any], log: Callable[[str], None]
) -> dict[str, Any] | None:
    """The summary that an earlier call with the same settings has written, if it and the arrays beside it are whole."""
    try:
        summary = folder.json(files.summary)
        if summary.get("settings") != settings or not (folder.path / files.arrays).exists():
            return None
        whole = read_evaluation(folder.path / files.arrays).summary()
        if missing := [name for name in whole if name not in summary]:
            raise IwaxError(f"Expected {folder.path / files.summary} to have {missing[0]}; it has not.")
    except IwaxError as error:
        log(f"Judging again. {error}")
        return None
    return summary | whole


def _take_up(finished: PartialEvaluation, batch: int, recompute: bool, log: Callable[[str], None]) -> int:
    """How many examples need not be computed again: whole batches of them."""
    whole = 0 if recompute else len(finished) // batch * batch
    finished.keep(whole)
    if finished.damage:
        log(f"The partial evaluation is damaged ({finished.damage}): what is whole of it is kept.")
    if finished.differences:
        log(f"A partial evaluation had other settings ({', '.join(finished.differences)}): starting again.")
    elif whole:
        log(f"Going on with a partial evaluation: {whole} example{'s are' if whole != 1 else ' is'} finished.")
    return whole


def _summary(
    result: Evaluation, run: LoadedRun, settings: dict[str, Any], seconds: float, before: int
) -> dict[str, Any]:
    num_new = len(result.log_likelihood) - before
    return {
        "state": "finished",
        "objective": run.config.objective,
        **({"selected": run.selected} if run.selected else {}),
        **result.summary(),
        **{name: settings[name] for name in ("seed", "binarize")},
        **{"seconds": seconds, "found_finished": before, "images_per_second": num_new / seconds},
        "settings": settings,
    }
