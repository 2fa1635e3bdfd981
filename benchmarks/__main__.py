"""Measure iwax and its peers side by side: `make bench`, or `python -m benchmarks [--quick] [--resume] [--only TEXT]`.

Each system runs in a process of its own, iwax in this environment and the peers in theirs. In each of several rounds
every system takes a turn of about a second, the others being stopped meanwhile; what is compared are times of the same
round, so that a slow moment of the machine slows all alike. Before that, all compute bound and gradient on equal
weights and noise: a system that differs by more than 1e-4 is not compared.
"""

import argparse
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

import iwax
from benchmarks.case import ESTIMATOR, Case
from benchmarks.distances import PRODUCTS
from benchmarks.iwax_system import make_inputs
from benchmarks.page import RESULTS, write_page
from iwax.experiments import recording

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
TOLERANCE = 1e-4
SECONDS = 0.8  # of one turn
IMAGES = 2000

TRAIN = ("iwax", "iwax in a user's scan", PRODUCTS, "PyTorch, eager", "PyTorch, compiled", "NumPyro")
MIXED = ("iwax, bfloat16", "PyTorch, compiled, bfloat16")
ESTIMATORS = ("sticking-the-landing", "doubly-reparameterized", "miwae", "ciwae", "piwae")
PYTHAE = ("Pythae, its trainer", "Pythae's model, bare loop")


def cases(quick: bool) -> dict[Case, tuple[str, ...]]:
    """The cases and the systems that take part in each."""
    listed: dict[Case, tuple[str, ...]] = {}
    for layers in (1,) if quick else (1, 2):
        for batch in (20,) if quick else (20, 100):
            for num_samples in (1, 5, 50):
                case = Case(layers=layers, num_samples=num_samples, batch=batch)
                listed[case] = TRAIN + (PYTHAE + MIXED if layers == 1 else ())
    listed[Case(num_samples=64)] = ("iwax", PRODUCTS, *(ESTIMATOR + name for name in ESTIMATORS))
    for objective in ("miwae", "ciwae"):  # its PIWAE adds the two gradients, and is another estimator
        listed[Case(num_samples=64).with_estimator(objective)] = ("iwax", PRODUCTS, *PYTHAE)
    listed[Case(task="likelihood", num_samples=5000, batch=20)] = (
        "iwax.log_likelihood",
        PRODUCTS,
        "Pythae's get_nll",
    )
    return listed


class Worker:
    """A system at a case, in a process that runs only when it is asked something."""

    def __init__(self, name: str, case: Case, folder: Path) -> None:
        theirs = name.startswith(("PyTorch", "Pythae", "NumPyro"))
        command = [str(PEERS) if theirs else sys.executable, "-m", "benchmarks.worker", name, case.to_json()]
        self.log = (folder / f"{name}.log").open("w+")
        self.process = subprocess.Popen(
            [*command, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.name, self.steps = name, 1

    def ask(self, question: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer:
            self.log.seek(0)
            raise RuntimeError(f"{self.name} failed:\n{self.log.read()[-2000:]}")
        self.process.send_signal(signal.SIGSTOP)
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


def measure(case: Case, systems: tuple[str, ...], rounds: int, images: np.ndarray) -> dict[str, Any]:
    """Milliseconds a step of each system in each round, peak memory, and how far bound and gradient are from iwax's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(case, images).save(folder / "inputs.npz")
        workers = []
        try:
            for system in systems:
                workers.append(Worker(system, case, folder))
            checks = _checks(case, {worker.name: worker for worker in workers})  # before any training
            for worker in workers:
                worker.steps = _steps(worker)
            times: dict[str, list[float]] = {system: [] for system in systems}
            for _ in range(rounds):
                for worker in workers:
                    seconds = float(worker.ask(f"run {worker.steps}"))
                    times[worker.name].append(1000 * seconds / worker.steps)
            memory = {worker.name: float(worker.ask("memory")) for worker in workers}
        finally:
            for worker in workers:
                worker.close()
    result = {s: {"ms": times[s], "peak_mib": memory[s], **checks.get(s, {})} for s in systems}
    return {"case": json.loads(case.to_json()), "name": case.name, "systems": result}


def _steps(worker: Worker) -> int:
    """How many steps a turn has; compiles on the way."""
    steps = 1
    for _ in range(2):  # the first of a size compiles
        seconds = float(worker.ask(f"run {steps}"))
    while seconds < SECONDS / 4:
        steps *= 4
        worker.ask(f"run {steps}")
        seconds = float(worker.ask(f"run {steps}"))
    steps = max(1, round(steps * SECONDS / seconds))
    worker.ask(f"run {steps}")
    return steps


def _checks(case: Case, workers: dict[str, Worker]) -> dict[str, dict[str, float]]:
    """How far bound and gradient of each peer are from iwax's on equal weights and noise, relatively."""
    if case.task != "train":
        return {}
    found = {}
    for name, worker in workers.items():
        if name.startswith(("PyTorch", "Pythae", "NumPyro")) and name not in MIXED:
            theirs = np.load(worker.ask("check"))
            ours = np.load(workers["iwax"].ask(f"check {theirs.fid.name if 'noise0' in theirs else ''}"))
            gradient = np.linalg.norm(theirs["gradient"] - ours["gradient"]) / np.linalg.norm(ours["gradient"])
            found[name] = {
                "bound_error": float(abs(theirs["bound"] / ours["bound"] - 1)),  # NaN for Pythae: it has no bound
                "gradient_error": float(gradient),
            }
    return found


def machine() -> dict[str, Any]:
    """What this was measured on."""
    peers = subprocess.run(
        [PEERS, "-c", "import torch, pythae, numpyro; from importlib.metadata import version as v; "
         "print(*(v(p) for p in ('torch', 'pythae', 'numpyro', 'jax')))"], capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout
    return {
        "date": time.strftime("%Y-%m-%d"),
        **recording.machine(),
        "python": platform.python_version(),
        "commit": commit.strip(),
        "versions": {"iwax": iwax.__version__, "jax": jax.__version__, "jaxlib": version("jaxlib"),
                     **dict(zip(("torch", "pythae", "numpyro", "their jax"), peers, strict=True))},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one layer, batch 20 only")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--resume", action="store_true", help="keep the cases that are in OUT of this commit")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench")
    parser.add_argument("--publish", action="store_true", help="write docs/benchmarks.json and its page, too")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "results.json"
    results = started(path if arguments.resume else None, machine())
    done = {entry["name"] for entry in results["cases"]}
    images = np.asarray(iwax.data.load("mnist-sample").train[:IMAGES].reshape(-1, 784) / 255, np.float32)
    for case, systems in cases(arguments.quick).items():
        if case.name not in done and arguments.only in case.name:
            results["cases"].append(measure(case, systems, arguments.rounds, images))
            path.write_text(json.dumps(results, indent=1) + "\n")
            _say(results["cases"][-1])
    if not arguments.only:
        results["profiles"] = [profile(num_samples) for num_samples in (1, 5, 50)]
        path.write_text(json.dumps(results, indent=1) + "\n")
    page = write_page(results, arguments.out / "benchmarks.md")
    print(page)
    if arguments.publish:
        RESULTS.write_text(path.read_text())
        RESULTS.with_suffix(".md").write_text(page)
    wrong = [f"{e['name']}: {s}" for e in results["cases"] for s, r in e["systems"].items() if not agrees(r)]
    if wrong:
        sys.exit("These did not compute the same as iwax, and are not compared: " + "; ".join(wrong))


def started(path: Path | None, machine: dict[str, Any]) -> dict[str, Any]:
    """What has been measured of this commit, if it is to be kept, and the machine; a page is of one commit."""
    kept = json.loads(path.read_text()) if path is not None and path.exists() else {}
    same = kept.get("machine", {}).get("commit") == machine["commit"]
    return {"cases": kept["cases"] if same else [], "machine": machine}


def profile(num_samples: int) -> str:
    """What the threads do in a step, as a table."""
    command = [sys.executable, "-m", "benchmarks.profile", "--num-samples", str(num_samples)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def agrees(system: dict[str, Any]) -> bool:
    """Whether bound and gradient are iwax's; what is not checked or has no bound (NaN) does not fail here."""
    return not any(system.get(name, 0) > TOLERANCE for name in ("bound_error", "gradient_error"))


def _say(entry: dict[str, Any]) -> None:
    times = {name: float(np.median(system["ms"])) for name, system in entry["systems"].items()}
    print(entry["name"] + ": " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in times.items()), flush=True)


if __name__ == "__main__":
    main()
