"""A study's points are measured once, whatever interrupts it."""

import json
import signal
import threading
import time

import pytest

from iwax.errors import IwaxError
from iwax.experiments import points
from iwax.experiments.points import POINTS, measure_points, measured_points


def test_a_rerun_measures_what_is_missing_only(tmp_path):
    seen = []

    def measure(point):
        seen.append(point["n"])
        return {"square": point["n"] ** 2}

    progress = []
    first = measure_points(tmp_path / "new", [{"n": 1}, {"n": 2}], measure)
    again = measure_points(
        tmp_path / "new",
        [{"n": 3}, {"n": 2}, {"n": 2, "other": 0}],
        measure,
        cost=lambda point: point["n"],
        on_progress=lambda p: progress.append((p.step, p.total_steps, p.note)),
    )
    assert seen == [1, 2, 3, 2]
    assert again[1] == first[1]
    assert [record["square"] for record in again] == [9, 4, 4]
    assert progress == [(3, 7, "1/3 points"), (5, 7, "2/3 points"), (7, 7, "3/3 points")]


@pytest.mark.parametrize("torn", ['{"point": {"n": 5}, "squ', '{"point": {"n": 5}}'])
def test_a_line_without_its_end_is_measured_again(tmp_path, torn):
    measure_points(tmp_path, [{"n": 1}], lambda point: {})
    whole = (tmp_path / POINTS).read_text()
    (tmp_path / POINTS).write_text(whole + torn)
    found = measure_points(tmp_path, [{"n": 5}, {"n": 1}], lambda point: {"value": 7})
    assert found[0]["value"] == 7
    assert "value" not in found[1]
    assert (tmp_path / POINTS).read_text().startswith(whole)
    assert len((tmp_path / POINTS).read_text().splitlines()) == 2


def test_a_point_of_which_a_digit_changed_is_measured_again(tmp_path):
    def measure(point):
        return {"square": 100 * point["n"] ** 2}

    first = measure_points(tmp_path, [{"n": 1}, {"n": 2}], measure)
    whole = (tmp_path / POINTS).read_text()
    assert whole.count("400") == 1
    (tmp_path / POINTS).write_text(whole.replace("400", "401"))
    assert [record["point"] for record in measured_points(tmp_path)] == [{"n": 1}]
    assert measure_points(tmp_path, [{"n": 1}, {"n": 2}], measure)[1]["square"] == 400
    lines = (tmp_path / POINTS).read_text().splitlines()
    assert len(lines) == 2
    (tmp_path / POINTS).write_text(json.dumps(first[0]) + "\n")  # as earlier versions wrote it
    assert measured_points(tmp_path) == first[:1]


def test_a_line_that_is_no_point_is_named(tmp_path):
    (tmp_path / POINTS).write_text('{"square": 1}\n')
    with pytest.raises(IwaxError, match=r"Expected line 1 of .*points\.jsonl to have point; got .* Delete it"):
        measure_points(tmp_path, [{"n": 1}], lambda point: {})


def test_a_point_that_fails_leaves_those_before_it(tmp_path):
    def measure(point):
        if point["n"] == 2:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        measure_points(tmp_path, [{"n": 1}, {"n": 2}], measure)
    assert len((tmp_path / POINTS).read_text().splitlines()) == 1


def test_what_another_process_measured_meanwhile_is_not_lost(tmp_path, monkeypatch):
    """It appends between the reading and the rewriting of the file: it has to wait, and both lines stay."""
    measure_points(tmp_path, [{"n": 1}], lambda point: {})
    read, others = points.measured_points, []

    def slowly(folder):
        found = read(folder)
        monkeypatch.setattr(points, "measured_points", read)
        other = threading.Thread(target=measure_points, args=(tmp_path, [{"n": 2}], lambda point: {}))
        others.append(other)
        other.start()
        other.join(0.5)
        return found

    monkeypatch.setattr(points, "measured_points", slowly)
    measure_points(tmp_path, [{"n": 1}], lambda point: {})
    others[0].join()
    assert [record["point"] for record in measured_points(tmp_path)] == [{"n": 1}, {"n": 2}]


def test_several_at_once_are_the_same_in_the_same_order(tmp_path):
    together = threading.Barrier(2, timeout=30)  # breaks unless two are measured at the same time

    def measure(point):
        together.wait()
        return {"square": point["n"] ** 2}

    points = [{"n": n} for n in range(4)]
    found = measure_points(tmp_path, points, measure, workers=2)
    assert [record["square"] for record in found] == [0, 1, 4, 9]
    assert len((tmp_path / POINTS).read_text().splitlines()) == 4


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of POSIX")
def test_a_signal_that_the_measuring_thread_took_is_answered_while_it_measures(tmp_path):
    free = threading.Event()

    def measure(point):
        time.sleep(0.2)  # until the main thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        return {"free": free.wait(10)}  # which ends the wait of no other thread

    before = signal.signal(signal.SIGUSR1, lambda signum, frame: free.set())
    try:
        assert [record["free"] for record in measure_points(tmp_path, [{"n": 1}], measure)] == [True]
    finally:
        signal.signal(signal.SIGUSR1, before)
