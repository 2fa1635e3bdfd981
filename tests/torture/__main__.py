"""`make torture`: all that can be done to iwax, in the sizes asked for; what was done goes into docs/robustness.md.

python -m torture                                  # the whole of it, some hours on two cores
python -m torture --only lines --lines 2000        # a part, in another size
python -m torture --step 5 --kills 3 --record      # every fifth file operation; the table of the page is written
"""

import argparse
import datetime
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torture import damage, kills, levels, lines, made_runs, mutate, places, terminals, tour

ROOT = Path(__file__).parents[2]
PAGE, KEPT = ROOT / "docs" / "robustness.md", ROOT / "docs" / "robustness.json"
BEGIN, END = "<!-- table begins -->\n", "<!-- table ends -->\n"
SLICE = 2_000  # lines or mutants, after which --keep has them
PLAIN_USER = "IWAX_TORTURE_PLAIN_USER"
WHAT = {
    "damage": "damaged files of runs and records, each read by every command that reads it",
    "plain user": "the same by a user who may not read what is forbidden",
    "mutants": "mutated arrays, archives, tables, images, IDX files, checkpoints",
    "bombs": "files made to harm: they unpack to 200 MB, are encrypted, pickled, or have endless headers",
    "lines": "command lines at random",
    "tour": "commands cut off at a file operation, killed or with the disk full from there on, and gone on with",
    "disk": "commands on a disk that is really full, at every level of what they write, and gone on with",
    "kills": "processes killed at a random moment, and gone on with",
    "clock": "commands killed and gone on with while the clock jumps by years, and so do the times of all files",
    "ctrl-c": "Ctrl-C within 0.4 s of the start, before which it is Python's to answer",
    "terminals": "terminals closed while `iwax train` is in them, beside a shell or alone, and gone on with",
    "at once": "processes at once on one folder",
    "moved": "folders moved, with times of files from 1970 to 2096",
}


def tell(name: str, found: dict[str, Any], seconds: float) -> dict[str, Any]:
    """One part's outcome, printed and as it is kept."""
    count = sum(value[0] if isinstance(value, list) else value for value in found["counts"].values())
    print(f"{name}: {count} tried, {len(found['wrong'])} wrong, {seconds:.0f} s", flush=True)
    for problem in found["wrong"][:20]:
        print("  ", problem, flush=True)
    return {"tried": count, "wrong": len(found["wrong"]), "date": datetime.date.today().isoformat()}


def parts(options: argparse.Namespace, root: Path, scratch: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    """Name -> what is done."""
    found: dict[str, Callable[[], dict[str, Any]]] = {
        "damage": lambda: damage.hurt(root, scratch, options.seed, lambda n: (n + options.seed) % options.every == 0),
        "plain user": lambda: _as_plain_user(options),
        "mutants": lambda: _sliced("mutants", options.mutants, options, functools.partial(mutate.mutate, scratch)),
        "bombs": lambda: _bombs(scratch),
        "lines": lambda: _sliced(
            "lines", options.lines, options, functools.partial(lines.type_lines, scratch / "typed", root)
        ),
        "ctrl-c": lambda: places.interrupted_early(options.interrupts, seed=options.seed),
        "terminals": lambda: terminals.terminals_closed(root, scratch, options.kills, options.seed),
        "at once": lambda: places.at_once(root, scratch),
        "moved": lambda: places.moved_and_out_of_time(root, scratch),
    }
    for name in tour.JOURNEYS:
        found[f"disk {name}"] = lambda name=name: levels.on_small_disks(root, scratch, name, options.levels)
        found[f"tour {name}"] = lambda name=name: _cut_off(tour.tour(root, scratch, name, options.step))
    for name in kills.LONG:
        found[f"kills {name}"] = lambda name=name: kills.killed_at_any_moment(
            root, scratch, name, options.kills, options.seed
        )
        found[f"clock {name}"] = lambda name=name: kills.jumping_clock(root, scratch, name)
    return found


def _sliced(
    name: str, total: int, options: argparse.Namespace, do: Callable[[int, int], dict[str, Any]]
) -> dict[str, Any]:
    """`do(count, seed)` slice by slice; of those in --keep only those that found a fault are done again."""
    counts, wrong = 0, []
    for number in range(0, total, SLICE):
        kept = None if options.keep is None else options.keep / f"{name}-{options.seed}-{number}.json"
        found = json.loads(kept.read_text()) if kept is not None and kept.exists() else {"wrong": [""]}
        if found["wrong"]:
            done = do(min(SLICE, total - number), options.seed * 1_000_000 + number)
            tried = sum(value[0] if isinstance(value, list) else value for value in done["counts"].values())
            found = {"tried": tried, "wrong": done["wrong"]}
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(found))
        counts, wrong = counts + found["tried"], wrong + found["wrong"]
    return {"counts": {name: counts}, "wrong": wrong}


def _cut_off(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"counts": {"cut off": found["counts"]["cut off"]}}


def _bombs(scratch: Path) -> dict[str, Any]:
    wrong, count = [], 0
    for what, path, reader in mutate.bombs(scratch):
        refused, problem, peak = mutate.peak_of(path, reader)
        count += 1
        if problem or not refused or peak > 20_000_000:
            wrong.append(f"{what}: {problem or 'not refused'}; {peak} bytes at most")
    return {"counts": {"bombs": count}, "wrong": wrong}


def _as_plain_user(options: argparse.Namespace) -> dict[str, Any]:
    """The damage once more, every tenth of it, by a process without root's right to read everything."""
    if os.geteuid() and PLAIN_USER not in os.environ:
        return {"counts": {"the user is none": 0}, "wrong": []}  # then `damage` was it
    drop = "-dac_override,-dac_read_search"
    command = ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}", sys.executable, "-m", "torture"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        arguments = ["--only", "damage", "--every", str(10 * options.every), "--out", str(out)]
        subprocess.run([*command, *arguments], env={**os.environ, PLAIN_USER: "1"}, check=True)
        kept = json.loads(out.read_text())["damage"]
    return {"counts": {"damage": kept["tried"]}, "wrong": ["see above"] * kept["wrong"]}


def table(kept: dict[str, Any]) -> str:
    """The table of the page."""
    rows = ["| what | tried | wrong | last run |", "|:--|--:|--:|:--|"]
    for name, one in kept.items():
        kind = next(kind for kind in WHAT if name == kind or name.startswith(f"{kind} "))
        which = name.removeprefix(kind).strip()
        text = WHAT[kind] + (f": `iwax {which}`" if which else "")
        rows.append(f"| {text} | {one['tried']:,} | {one['wrong']:,} | {one['date']} |")
    return "\n".join(rows) + "\n"


def write_page(kept: dict[str, Any]) -> None:
    """Put the table into the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + "\n" + table(kept) + "\n" + END + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help=f"those that begin so: {', '.join(WHAT)}")
    parser.add_argument("--lines", type=int, default=100_000, help="command lines")
    parser.add_argument("--mutants", type=int, default=200_000, help="mutated files")
    parser.add_argument("--every", type=int, default=1, help="only every so many kinds of damage")
    parser.add_argument("--step", type=int, default=1, help="only every so many file operations")
    parser.add_argument("--levels", type=int, default=16, help="of a full disk, for each command")
    parser.add_argument("--kills", type=int, default=20, help="random kills of each long command")
    parser.add_argument("--interrupts", type=int, default=200, help="of a command that starts, by Ctrl-C")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument("--keep", type=Path, help="folder of lines and mutants done, to go on after")
    parser.add_argument("--record", action="store_true", help="keep the counts, and write them into the page")
    parser.add_argument("--out", type=Path, help="write the counts to this file")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background, and all it starts, ignores it
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    done: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        root, scratch = Path(folder) / "made", Path(folder) / "scratch"
        scratch.mkdir()
        for name, part in parts(options, root, scratch).items():
            if options.only and not any(name.startswith(only) for only in options.only):
                continue
            if not root.exists() and name not in ("mutants", "bombs", "ctrl-c", "plain user"):
                made_runs.make_all(root)
            if name == "damage":
                made_runs.with_partial(root)
            begin = time.monotonic()
            done[name] = tell(name, part(), time.monotonic() - begin)
            if options.record:
                kept[name] = done[name]
                KEPT.write_text(json.dumps(kept, indent=1) + "\n")
                write_page(kept)
            if name == "damage":
                shutil.rmtree(root)  # the others want it without what was interrupted
    if options.out:
        options.out.write_text(json.dumps(done))
    sys.exit(any(one["wrong"] for one in done.values()))


if __name__ == "__main__":
    main()
