"""How long `iwax impute` takes for a table of 5,000 rows and 20 mixed columns, a fifth of it missing, a new process.

python benchmarks/imputing.py [--rows 5000] [--limit 180]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MISSING = 0.2


def write_table(path: Path, rows: int, seed: int = 0) -> None:
    """Twenty columns that hang together by three latent numbers: continuous, positive, counts, binary, categorical."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, 3))
    mixed = z @ rng.normal(size=(3, 20)) + 0.5 * rng.normal(size=(rows, 20))
    columns: list[np.ndarray] = [
        *(np.round(mixed[:, j], 4).astype(str) for j in range(8)),
        *(np.round(np.exp(1.5 * mixed[:, j]), 4).astype(str) for j in range(8, 11)),
        *(rng.poisson(np.exp(1 + 0.4 * mixed[:, j])).astype(str) for j in range(11, 14)),
        *(np.where(mixed[:, j] > 0, "yes", "no") for j in range(14, 17)),
        *(np.array(["a", "b", "c", "d"])[np.digitize(mixed[:, j], [-1, 0, 1])] for j in range(17, 20)),
    ]
    table = np.where(rng.random((rows, 20)) < MISSING, "", np.stack(columns, axis=1))
    lines = [",".join(f"x{j}" for j in range(20)), *(",".join(row) for row in table)]
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--limit", type=float, default=180, help="seconds, beyond which it fails")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table, out = Path(folder) / "table.csv", Path(folder) / "done.csv"
        write_table(table, given.rows)
        begin = time.monotonic()
        command = [sys.executable, "-m", "iwax", "impute", str(table), "--out", str(out), "--multiple", "20"]
        subprocess.run(command, check=True)
        seconds = time.monotonic() - begin
    print(f"{given.rows:,} rows and 20 columns: {seconds:.0f} s")
    if seconds > given.limit:
        sys.exit(f"Expected at most {given.limit:.0f} s; it took {seconds:.0f}.")


if __name__ == "__main__":
    main()
