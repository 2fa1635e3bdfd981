"""The measurement on a GPU, without one: its parts, their limits, what is kept of them, and the page."""

import dataclasses
import json
import subprocess
import sys
import time

import pytest
from benchmarks.gpu import PAGE, RESULT, TOY, Settings, measure, parts
from benchmarks.gpu_page import gpu_page

from example_modules import ROOT

SMALL = dataclasses.replace(TOY, patience=0.1)
MACHINE = {"machine": {"device": "gpu (H9)", "gpu": True, "versions": {"jax": "9.9"}, "commit": "abcdef123"}}


def row(runs, ms, samples=5, **others):
    return {"system": "iwax", "samples": samples, "data": "mnist", "ms": ms, "rounds": [ms, ms]} | others


def printing(*rows, then=""):
    """A process that prints rows as a part does, and then does something else."""
    lines = "".join(json.dumps(one) + "\n" for one in rows)
    return [
        sys.executable,
        "-c",
        f"import sys, time; sys.stdout.write({lines!r}); sys.stdout.flush(); {then or 'pass'}",
    ]


def test_all_parts_fit_their_time_and_the_least_worthy_come_last():
    """Eight minutes hold the three of the recipe and the steps of iwax at their limits; PyTorch has what is left."""
    listed = parts(Settings())
    assert [part.runs for part in listed if part.kind == "ours"] == [1, 8, 24, 96]
    ours = sum(part.limit for part in listed if part.kind != "torch")
    assert ours < 8 * 60 - 60
    assert [part.kind for part in listed] == sorted((part.kind for part in listed), key="ours recipe torch".index)


def test_a_part_is_stopped_at_its_limit_and_keeps_what_it_had_found(tmp_path):
    """Half a line is none; a part that fails names its error, and stops no other."""
    rows = [{"mib": {"device": 2**10}} | row(1, 2.0), row(1, 3.0, 50)]
    asleep = printing(MACHINE, *rows, then="sys.stdout.write('{\"ms\"'); sys.stdout.flush(); time.sleep(60)")
    answers = {"alone": asleep, "recipe": printing(then="sys.exit('no memory')")}
    settings, begin = dataclasses.replace(SMALL, patience=0.02), time.monotonic()
    found = measure(
        tmp_path / "gpu.json", settings, 100.0, lambda part, _: answers.get(part.name, printing()), lambda _: None
    )
    assert time.monotonic() - begin < 30
    states = {name: part["state"] for name, part in found["parts"].items()}
    assert states == {
        **{"alone": "stopped", "cohort of 2": "finished", "recipe": "failed"},
        **{"PyTorch alone": "finished", "PyTorch vmap of 2": "finished"},
    }
    assert found["parts"]["alone"]["rows"] == rows
    assert found["parts"]["recipe"]["error"] == "no memory"


def test_what_has_finished_is_not_measured_again_and_what_time_does_not_allow_is_left(tmp_path):
    asked = []

    def command(part, settings):
        asked.append(part.name)
        return printing(then="sys.exit(1)" if len(asked) == 1 else "")

    names = [part.name for part in parts(SMALL)]
    assert measure(tmp_path / "gpu.json", SMALL, 0.0, command, lambda _: None)["parts"] == {}
    measure(tmp_path / "gpu.json", SMALL, 100.0, command, lambda _: None)
    assert asked == names
    measure(tmp_path / "gpu.json", SMALL, 100.0, command, lambda _: None)
    assert asked == [*names, names[0]]  # the one that had failed


def test_the_page_compares_a_runs_share_of_a_step_with_a_run_alone():
    """A cohort of 8 whose step takes 4 ms against 2 ms alone is four times as fast, a run."""
    of_cohort = row(8, 4.0, mib={"device": 300.0})
    result = {
        "settings": dataclasses.asdict(Settings()),
        "machine": MACHINE["machine"],
        "parts": {
            "alone": {"state": "finished", "runs": 1, "seconds": 9, "rows": [row(1, 2.0, mib={"device": 200.0})]},
            "cohort of 8": {"state": "stopped", "runs": 8, "seconds": 45, "rows": [of_cohort]},
        },
    }
    text = gpu_page(result)
    assert "**gpu (H9); jax 9.9; commit abcdef1.**" in text
    assert "| iwax | 8 | 5 | 4.000 | 0.5000 | 2,000 | 4.00x as fast | 0% | 300 |" in text
    assert "- cohort of 8: stopped after 45 s." in text
    result["machine"]["gpu"] = False
    assert "no GPU: these numbers show the form alone" in gpu_page(result)


def test_the_committed_page_is_of_what_was_measured_on_a_gpu_or_says_that_nothing_was():
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {"parts": {}}
    assert PAGE.read_text() == gpu_page(result), "run `python -m benchmarks.gpu_page`"
    assert ("Not measured yet" in PAGE.read_text()) == (not result["parts"])
    assert not result["parts"] or result["machine"]["gpu"]


@pytest.mark.slow
def test_all_of_it_runs_at_toy_size(tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--toy", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=900, env=None)
    found = json.loads(out.read_text())["parts"]
    assert {part["state"] for part in found.values()} == {"finished"}
    times = {(name, one["samples"]): one["ms"] for name, part in found.items() for one in part["rows"] if "ms" in one}
    assert set(times) >= {("alone", 1), ("alone", 2), ("cohort of 2", 2), ("PyTorch vmap of 2", 2)}
    assert found["recipe"]["rows"][0]["steps"] >= 1
    assert "| PyTorch (eager) | 2 | 2 |" in out.with_suffix(".md").read_text()
