"""One part of `benchmarks.gpu` in a process of its own: prints a JSON object for each number, as soon as it has it."""

import dataclasses
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def ours(how: dict[str, Any]) -> Iterator[Row]:
    """Milliseconds of a step of iwax's engine, of one run for each K, or of a cohort as one program."""
    import jax

    from iwax.data import load
    from iwax.runs.config import RunConfig
    from iwax.runs.initial import prepare
    from iwax.runs.resolution import resolve
    from iwax.training.cohort import Cohort, CohortState

    data, runs = load(how["dataset"], None, how["data_dir"]), how["runs"]
    yield {"machine": _jax_machine()}
    for num_samples in how["samples"] if runs == 1 else (how["cohort_samples"],):
        fields = {"dataset": data.name, "num_samples": num_samples, "protocol": "burda-paper"}
        config = RunConfig(objective="iwae", batch_size=how["batch"], **fields)
        pairs = [prepare(resolve(dataclasses.replace(config, seed=seed)), data) for seed in range(runs)]
        trainers, states = zip(*pairs, strict=True)
        program: Any = trainers[0] if runs == 1 else Cohort(trainers)
        state = {"now": states[0] if runs == 1 else CohortState.stack(states)}
        images, steps = program.on_device(), min(trainers[0].steps_per_epoch, how["turn"])

        def take(state: dict = state, program: Any = program, images: Any = images, steps: int = steps) -> int:
            before = int(state["now"].step)
            state["now"] = program.advance(state["now"], images, steps)
            return int(jax.block_until_ready(state["now"].step)) - before

        times = _times(take, how)
        memory = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
        yield {"system": "iwax", "samples": num_samples, "data": data.name, **times, "mib": _mib(memory)}


def recipe(how: dict[str, Any]) -> Iterator[Row]:
    """What some minutes of the published recipe come to, checkpoints and all."""
    from iwax.data import load
    from iwax.runs import RunConfig, RunFolder, new_run, resolve

    data = load(how["dataset"], None, how["data_dir"])
    yield {"machine": _jax_machine()}
    fields = {"dataset": data.name, "num_samples": how["recipe_samples"], "protocol": "burda-paper"}
    config = RunConfig(objective="iwae", **fields)
    with tempfile.TemporaryDirectory() as folder:
        path, begin = Path(folder) / "run", time.monotonic()
        new_run(config, path, data=data, time_limit=how["recipe_seconds"])
        seconds, run = time.monotonic() - begin, RunFolder(path)
        status, metrics = run.json("status.json"), run.metrics()
    yield {
        "system": "iwax",
        "samples": how["recipe_samples"],
        "data": data.name,
        "seconds": round(seconds, 1),
        "steps": status["step"],
        "epochs_of_recipe": status["epochs"],
        "steps_per_epoch": len(data.train) // resolve(config).recipe.batch_size,
        "training_seconds": status["seconds"],
        "bound": metrics[-1]["bound"] if metrics else None,
    }


def torch(how: dict[str, Any]) -> Iterator[Row]:
    """The same steps by PyTorch, of one run for each K, or of several by `torch.func.vmap`."""
    try:
        from benchmarks.gpu_torch import TorchSteps, machine
    except ImportError:
        yield {"system": "PyTorch", "left_out": "not installed"}
        return
    yield {"machine": machine()}
    for num_samples in how["samples"] if how["runs"] == 1 else (how["cohort_samples"],):
        steps = TorchSteps(how["runs"], num_samples, how["batch"], how["turn"], compiled=how["compiled"])
        times = _times(steps.take, how)
        row = {"system": "PyTorch", "samples": num_samples, "way": steps.way, **times}
        yield row | {"mib": _mib(steps.peak_bytes())} | ({"fell_back": steps.fell_back} if steps.fell_back else {})


def _times(take: Callable[[], int], how: dict[str, Any]) -> Row:
    """Milliseconds of a step: of each round, and their median. The first call compiles, the second warms up."""
    begin = time.monotonic()
    take()
    compiling = time.monotonic() - begin
    take()
    rounds = []
    for _ in range(how["rounds"]):
        begin, steps = time.monotonic(), 0
        while time.monotonic() - begin < how["seconds"]:
            steps += take()
        rounds.append(1e3 * (time.monotonic() - begin) / steps)
    return {"ms": statistics.median(rounds), "rounds": rounds, "first_call_seconds": round(compiling, 1)}


def _mib(of_device: int | None) -> dict[str, float]:
    """Peak memory of the device's allocator, or of the process where the device is the processor."""
    if of_device is not None:
        return {"device": of_device / 2**20}
    return {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _jax_machine() -> Row:
    import jax

    from iwax.experiments.recording import machine
    from iwax.runs import versions_and_commit

    versions, commit = versions_and_commit()
    return machine() | {"gpu": jax.default_backend() == "gpu", "versions": versions, "commit": commit}


def main() -> None:
    how = json.loads(sys.argv[1])
    for row in {"ours": ours, "recipe": recipe, "torch": torch}[how["kind"]](how):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
