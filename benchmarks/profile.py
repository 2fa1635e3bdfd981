"""Where the time of a training step goes: `python -m benchmarks.profile [--num-samples K] [--batch N] [--timeline]`.

The threads of XLA's CPU runtime are traced over some steps of the engine, and what they did is summed by kind: an
operation, or several fused into one, is what the metadata of its result in the compiled program says. With two threads,
a step that kept both busy all along would have twice its duration here.
"""

import argparse
import collections
import dataclasses
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import iwax
from benchmarks.case import Case
from benchmarks.iwax_system import Engine, EngineBfloat16, make_inputs
from iwax.models.precision import matrix_precision
from iwax.training.steps import run_steps

STEPS = 20
RANDOM = ("threefry", "random_bits", "_normal", "_uniform", "_shuffle", "fold_in", "erf_inv")
LOOPED = "while/body/while"  # outside a gradient, the only loop within a step is the generator's


@dataclasses.dataclass(frozen=True)
class Event:
    """One operation of one thread, in microseconds."""

    begin: float
    duration: float
    thread: str
    operation: str


def compiled(engine: Engine) -> str:
    """The text of the program that the engine runs."""
    trainer = engine.trainer
    with matrix_precision(trainer.precision):
        program = run_steps.lower(
            *(engine.state, engine.images, trainer.key, jnp.asarray(1)),
            *(trainer.update, trainer.recipe, trainer.batch_size, trainer.binarize),
        )
        return program.compile().compiled.as_text()  # the one inside Equinox's


def kinds(text: str) -> dict[str, str]:
    """Operation -> kind of work."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*(?:ROOT )?%?([\w.-]+) = .*?\b([a-z-]+)\(", line)
        if match:
            path = re.search(r'op_name="([^"]*)"', line)
            found[match[1]] = _kind(match[1], match[2], path[1] if path else "")
    return found


def _kind(name: str, opcode: str, path: str) -> str:
    if opcode == "copy":
        return "copies"
    by_library = name.startswith("ynn") and "reduce" not in path  # which has loops of its own for sums
    if "dot_general" in path or opcode == "dot" or by_library:
        return "matrix products"
    if any(word in path for word in RANDOM):
        return "random numbers"
    if "jvp" in path:
        return "element-wise, backward" if "transpose(jvp" in path else "element-wise, forward"
    if LOOPED in path and "closed_call" not in path:
        return "random numbers"
    return "Adam and the rest"


def trace(engine: Engine) -> tuple[list[Event], float]:
    """What the runtime's threads did in `STEPS` steps, and the milliseconds of a step while nobody was looking."""
    for steps in (STEPS, len(engine.trainer.images) // engine.case.batch, STEPS):
        engine.run(steps)
    begin = time.perf_counter()
    engine.run(STEPS)
    milliseconds = 1000 * (time.perf_counter() - begin) / STEPS
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            engine.run(STEPS)
        data = jax.profiler.ProfileData.from_file(str(next(Path(folder).rglob("*.xplane.pb"))))
    lines = [line for plane in data.planes for line in plane.lines if line.name != "python"]
    events = [
        Event(e.start_ns / 1000, e.duration_ns / 1000, line.name[-6:], e.name)
        for line in lines
        for e in line.events
        if not e.name.startswith(("ThunkExecutor", "SlinkyThreadPool"))
    ]
    return sorted(events, key=lambda e: e.begin), milliseconds


def table(events: list[Event], names: dict[str, str], milliseconds: float) -> str:
    """Microseconds of threads a step, by kind."""
    # A while loop spans the operations of its body.
    spans = collections.Counter[str]()
    for event in events:
        if event.operation in names and not event.operation.startswith("while"):
            spans[names[event.operation]] += event.duration / STEPS
    busy = sum(spans.values())
    lines = ["| work | thread time a step, us | part |", "|---|---|---|"]
    lines += [f"| {kind} | {us:.0f} | {100 * us / busy:.0f} % |" for kind, us in spans.most_common()]
    return "\n".join(
        [*lines, "", f"A step takes {milliseconds:.2f} ms; the threads were busy for {busy / 1000:.2f} ms."]
    )


def timeline(events: list[Event], least: float = 5.0) -> str:
    """One step of the trace: when, how long (at least `least` microseconds), which thread, what."""
    counts = collections.Counter(e.operation for e in events)
    anchor = next(e.operation for e in events if counts[e.operation] == STEPS)
    begins = [e.begin for e in events if e.operation == anchor]
    shown = [e for e in events if begins[8] <= e.begin < begins[9] and e.duration >= least]
    return "\n".join(f"{e.begin - begins[8]:9.1f} {e.duration:8.1f}  {e.thread}  {e.operation}" for e in shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-samples", type=int, default=50)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--timeline", action="store_true", help="also one step, operation by operation")
    arguments = parser.parse_args()
    images = np.asarray(iwax.data.load("mnist-sample").train[:2000].reshape(-1, 784) / 255, np.float32)
    case = Case(num_samples=arguments.num_samples, batch=arguments.batch)
    system: Any = EngineBfloat16 if arguments.bfloat16 else Engine
    engine = system(case, make_inputs(case, images))
    events, milliseconds = trace(engine)
    print(f"{case.name}{', bfloat16' * arguments.bfloat16}\n")
    print(table(events, kinds(compiled(engine)), milliseconds))
    if arguments.timeline:
        print("\n" + timeline(events))


if __name__ == "__main__":
    main()
