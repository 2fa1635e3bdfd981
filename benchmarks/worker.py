"""One system at one case, in a process of its own: says how long `n` steps take, whenever it is asked.

    python -m benchmarks.worker SYSTEM CASE FOLDER

It reads lines and answers each with one: "check" (bound and gradient on the inputs of FOLDER, into a file; with
"check FILE", on the noise in that file), "run N"
(seconds of N steps), "memory" (peak, in MiB). What libraries print goes elsewhere.
"""

import importlib
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.case import ESTIMATOR, Case, Inputs

SYSTEMS = {
    "iwax": "benchmarks.iwax_system:Engine",
    "iwax, bfloat16": "benchmarks.iwax_system:EngineBfloat16",
    "iwax in a user's scan": "benchmarks.iwax_system:UserScan",
    "bare matrix products": "benchmarks.iwax_system:MatrixProducts",
    "PyTorch, eager": "benchmarks.torch_system:Eager",
    "PyTorch, compiled": "benchmarks.torch_system:Compiled",
    "PyTorch, compiled, bfloat16": "benchmarks.torch_system:CompiledBfloat16",
    "Pythae, its trainer": "benchmarks.pythae_system:ItsTrainer",
    "Pythae's model, bare loop": "benchmarks.pythae_system:BareLoop",
    "NumPyro": "benchmarks.numpyro_system:RenyiSVI",
    "iwax.log_likelihood": "benchmarks.iwax_system:Likelihood",
    "Pythae's get_nll": "benchmarks.pythae_system:Likelihood",
}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    name, case, folder = sys.argv[1], Case.from_json(sys.argv[2]), Path(sys.argv[3])
    if name.startswith(ESTIMATOR):
        name, case = "iwax", case.with_estimator(name.removeprefix(ESTIMATOR))
    module, system = SYSTEMS[name].split(":")
    program = getattr(importlib.import_module(module), system)(case, Inputs.load(folder / "inputs.npz"))
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "check":
            bound, gradient, *noise = program.check(*([_noise(rest)] if rest else []))
            path = folder / f"{system}.npz"
            own = {f"noise{i}": value for i, value in enumerate(*noise)} if noise else {}
            np.savez(path, bound=bound, gradient=np.concatenate([np.ravel(g) for g in gradient]), **own)
            print(path, file=answers)
        elif word == "run":
            begin = time.perf_counter()
            program.run(int(rest))
            print(time.perf_counter() - begin, file=answers)
        elif word == "memory":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=answers)


def _noise(path: str) -> list[np.ndarray]:
    with np.load(path) as file:
        return [file[name] for name in sorted(file) if name.startswith("noise")]


if __name__ == "__main__":
    main()
