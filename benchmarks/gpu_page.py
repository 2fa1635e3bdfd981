"""docs/gpu.md, from what `python -m benchmarks.gpu` has found; `python -m benchmarks.gpu_page` writes it again."""

import json
import statistics
from pathlib import Path
from typing import Any

__all__ = ["gpu_page"]

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# On a GPU

**{state}**

`python -m benchmarks.gpu` measures all of this in at most eight minutes, and writes this page and `docs/gpu.json`, from
which it is made: steps of the one-layer model by IWAE(K) at batch {batch}, alone and as cohorts of {cohorts} runs in
one program ([several runs at once](cohorts.md)); the same model in PyTorch, its loss compiled and the whole step
replayed as a CUDA graph, several at once by `torch.func.vmap`, where PyTorch is installed; the peak memory of each,
which is that of a process of its own; and three minutes of the published recipe at K = 50, batch 20. What has finished
is not measured again: given again, the command goes on. It needs a JAX that sees the GPU, such as `jax[cuda13]`. MNIST
is taken from `--data-dir` or the cache; where there is none, the bundled sample stands in, which changes no time.

```bash
python -m benchmarks.gpu --minutes 8
python -m benchmarks.gpu --toy      # a few steps on whatever there is, to see that it works
```
"""
NONE = "Not measured yet: no GPU was at hand."
Rows = list[tuple[str, int, dict[str, Any]]]


def gpu_page(result: dict[str, Any]) -> str:
    """The text of the page; without parts it says that nothing has been measured."""
    settings = result.get("settings", {"batch": 100, "cohorts": (8, 24, 96)})
    cohorts = ", ".join(map(str, settings["cohorts"]))
    text = HEAD.format(state=_state(result), batch=settings["batch"], cohorts=cohorts)
    rows = _rows(result)
    sections = [("Steps", _steps(rows)), ("The published recipe", _recipe(result)), ("Left out", _left_out(result))]
    return text + "".join(f"\n## {title}\n\n{body.rstrip()}\n" for title, body in sections if body)


def _state(result: dict[str, Any]) -> str:
    machine = result.get("machine")
    if not machine:
        return NONE
    versions = machine["versions"] | (result.get("torch") or {}).get("versions", {})
    named = ", ".join(f"{name} {versions[name]}" for name in ("iwax", "jax", "jaxlib", "torch") if name in versions)
    where = machine["device"] + ("" if machine["gpu"] else ", no GPU: these numbers show the form alone")
    return f"{where}; {named}; commit {(machine.get('commit') or 'unknown')[:7]}."


def _rows(result: dict[str, Any]) -> Rows:
    """(part, runs, number) of what was timed."""
    return [(name, part["runs"], row) for name, part in result["parts"].items() for row in part["rows"] if "ms" in row]


def _steps(rows: Rows) -> str:
    """Times relative to iwax alone of the same K; of a cohort, a run's share of a step of all of them."""
    alone = {row["samples"]: row["ms"] for _, runs, row in rows if runs == 1 and row["system"] == "iwax"}
    columns = ("system", "runs", "K", "ms a step of all", "ms a step and run", "steps of runs a second")
    columns += ("against iwax alone", "spread of rounds", "peak MiB")
    lines = [f"| {' | '.join(columns)} |", "|:--" + "|--:" * (len(columns) - 1) + "|"]
    for _, runs, row in rows:
        share, way = row["ms"] / runs, f" ({row['way']})" if "way" in row else ""
        ours = alone.get(row["samples"])
        against = f"{ours / share:.2f}x as fast" if ours else "—"
        spread = (max(row["rounds"]) - min(row["rounds"])) / statistics.median(row["rounds"])
        cells = (f"{row['ms']:.3f}", f"{share:.4f}", f"{1e3 / share:,.0f}", against, f"{spread:.0%}", _memory(row))
        lines.append(f"| {row['system']}{way} | {runs} | {row['samples']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n" if rows else ""


def _memory(row: dict[str, Any]) -> str:
    """Of the device, or of the whole process where the device has no memory of its own."""
    of_device = row["mib"].get("device")
    return f"{of_device:,.0f}" if of_device is not None else f"{row['mib']['process']:,.0f} (process)"


def _recipe(result: dict[str, Any]) -> str:
    rows = [row for part in result["parts"].values() for row in part["rows"] if "epochs_of_recipe" in row]
    if not rows:
        return ""
    (row,) = rows
    per_step = row["training_seconds"] / max(1, row["steps"])
    whole = row["epochs_of_recipe"] * row["steps_per_epoch"] * per_step / 3600
    bound = "" if row["bound"] is None else f" The last whole epoch's mean bound is {row['bound']:.2f} nats."
    return (
        f"IWAE({row['samples']}), {row['data']}: {row['steps']:,} steps in {row['training_seconds']:.0f} s, "
        f"compiling with it, {row['seconds']:.0f} s with checkpoints; {1e3 * per_step:.3f} ms a step, "
        f"{row['steps'] / row['steps_per_epoch']:.1f} epochs of {row['epochs_of_recipe']:,}, which would take "
        f"{whole:.1f} hours.{bound}\n"
    )


def _left_out(result: dict[str, Any]) -> str:
    """What was stopped, failed, not installed, or taken in a slower way than the fastest."""
    lines = []
    for name, part in result["parts"].items():
        if part["state"] != "finished":
            lines.append(f"- {name}: {part['state']} after {part['seconds']:.0f} s. {part.get('error', '')}".rstrip())
        lines += [f"- {name}: {row['left_out']}." for row in part["rows"] if "left_out" in row]
        lines += [f"- {name}: {row['fell_back']}".rstrip() for row in part["rows"] if "fell_back" in row]
    return "\n".join(dict.fromkeys(lines)) + "\n" if lines else ""


def main() -> None:
    path = ROOT / "docs" / "gpu.json"
    result = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    path.with_suffix(".md").write_text(gpu_page(result))


if __name__ == "__main__":
    main()
