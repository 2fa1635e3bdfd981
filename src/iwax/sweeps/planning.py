"""From options to runs: each resolved, with its hash, and what it costs. A process of its own, since it imports JAX.

The driver of a sweep never imports JAX: it would hold the memory of a GPU that its tasks need.
"""

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iwax.errors import IwaxError
from iwax.files import dumps, loads
from iwax.runs import RunConfig

__all__ = ["PlannedRun", "Rate", "ask", "main", "plan"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        id: the name of its folder: a hash of its resolved configuration.
        options: fields of `iwax.runs.RunConfig` that are not at their defaults; paths hold from any folder.
        steps: of training, in all; None where it was not asked for.
        flop: the arithmetic of all of them.
        seconds: an estimate of what they take.
    """

    id: str
    options: Mapping[str, Any]
    steps: int | None = None
    flop: int | None = None
    seconds: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rate:
    """On what the estimates of time rest.

    Attributes:
        device: what it was measured on.
        startup: seconds from the start of a process to its first steps, which compile.
        points: (ID of a run, FLOP of a step, seconds of a step), of the runs that were measured, by FLOP.
    """

    device: str
    startup: float
    points: tuple[tuple[str, int, float], ...]

    def seconds(self, flop: float) -> float:
        """Of a step of so much arithmetic, between those that were measured; beyond them as at the nearest.

        >>> rate = Rate(device="cpu", startup=0.0, points=(("a", 100, 1.0), ("b", 300, 2.0)))
        >>> rate.seconds(100), rate.seconds(200), rate.seconds(600)
        (1.0, 1.5, 4.0)
        """
        (_, least, quick), (_, most, slow) = self.points[0], self.points[-1]
        if flop >= most:
            return slow * flop / max(most, 1)
        return max(quick, quick + (slow - quick) * (flop - least) / max(most - least, 1))


def plan(
    runs: Sequence[Mapping[str, Any]],
    *,
    cost: bool = False,
    cores: int = 1,
    data_dir: str | None = None,
) -> tuple[list[PlannedRun], Rate | None]:
    """The runs that these options mean, each once, in order; with `cost`, what they take, measured on `cores` cores.

    Where JAX is not yet imported it stays so: another process does this.

    Raises:
        ValueError: options that do not exist or do not go together; the message says in which run.
    """
    request = {"runs": [dict(run) for run in runs], "cost": cost, "cores": cores, "data_dir": data_dir}
    if "jax" in sys.modules and not cost:
        answer = _answer(request)
    else:
        answer = ask("iwax.sweeps.planning", request | {"began": time.monotonic()})
    if "error" in answer:
        raise IwaxError(answer["error"])
    rate = answer["rate"]
    if rate is not None:
        rate = Rate(**rate | {"points": tuple(map(tuple, rate["points"]))})
    return [PlannedRun(**run) for run in answer["runs"]], rate


def ask(module: str, request: Mapping[str, Any]) -> Any:
    """What a process of `module` answers to a request: JSON on its standard input, and in the last line of its output.

    Raises:
        IwaxError: it was killed.
        RuntimeError: it ended with an error, whose last line the message has.
    """
    done = subprocess.run(
        [sys.executable, "-m", module], input=dumps(request), capture_output=True, text=True, check=False
    )
    if done.returncode < 0:
        killed = f"it was killed by signal {-done.returncode}, as where memory is full"
        raise IwaxError(f"Expected the runs to be planned by a process of its own; {killed}. Give the command again.")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise RuntimeError(f"Expected the runs to be planned; got {last}")
    return loads(done.stdout.splitlines()[-1], "the plan")


def main() -> None:
    """Of the process: a request as JSON on the standard input, the answer in the last line of the standard output."""
    request = json.load(sys.stdin)
    print("\n" + dumps(_answer(request)))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        runs: dict[str, PlannedRun] = {}
        for options in request["runs"]:
            run = _planned(options)
            runs.setdefault(run.id, run)
        if not request["cost"]:
            return {"runs": [vars(run) for run in runs.values()], "rate": None}
        from iwax.sweeps.cost import priced

        priced_runs, rate = priced(
            list(runs.values()), cores=request["cores"], data_dir=request["data_dir"], began=request["began"]
        )
        return {"runs": [vars(run) for run in priced_runs], "rate": vars(rate)}
    except (IwaxError, OSError) as error:
        return {"error": str(error)}


def _planned(options: Mapping[str, Any]) -> PlannedRun:
    from iwax.runs import explicit_fields, resolve

    config = _placed(RunConfig(**options))
    try:
        resolve(config)
        return PlannedRun(id=_id(config), options=explicit_fields(config))
    except IwaxError as error:
        words = ", ".join(f"{name} {value}" for name, value in options.items())
        raise IwaxError(f"{error} (In the run of {words}.)") from error


def _placed(config: RunConfig) -> RunConfig:
    """The same with paths that hold from any folder."""
    from iwax.data import DATASETS
    from iwax.models import is_own

    own: dict[str, Any] = {}
    if config.dataset not in DATASETS and Path(config.dataset).exists():
        own["dataset"] = str(Path(config.dataset).resolve())
    if config.init_from is not None:
        own["init_from"] = str(Path(config.init_from).resolve())
    if is_own(config.model):
        file, colon, function = config.model.rpartition(":")
        own["model"] = f"{Path(file).resolve()}{colon}{function}"
    return dataclasses.replace(config, **own)


def _id(config: RunConfig) -> str:
    """The hash of a configuration; of a model of one's own, its code and not its path: edited, it is another run."""
    from iwax.models import OwnModel, is_own
    from iwax.runs import identifier, non_default_fields

    fields = non_default_fields(config)
    if is_own(config.model):
        own = OwnModel.read(config.model)
        fields |= {"model": f"{own.sha256}:{own.function}"}
    return identifier(fields, {})


if __name__ == "__main__":
    main()
