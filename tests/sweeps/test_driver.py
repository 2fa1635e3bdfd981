"""The driver: what it starts, tries again, waits for and gives up, of tasks that end as a script says."""

import pytest

from iwax.sweeps import BUSY, Driver, Ended, Task
from iwax.sweeps.lease import LOST, lease


class Scripted:
    """An executor whose tasks end as they are told to, one after another; and what it was asked to do."""

    def __init__(self, slots=2, **script):
        self.slots, self.script, self.work = slots, {name: list(ends) for name, ends in script.items()}, Work()
        self.running, self.started, self.most, self.stopped = [], [], 0, False

    def start(self, tasks):
        self.running += tasks
        self.started += [task.name for task in tasks]
        self.most = max(self.most, len(self.running))

    def wait(self, seconds):
        task = self.running.pop(0)
        status = self.script.get(task.name, [0]).pop(0)
        if status is KeyboardInterrupt:
            self.running.insert(0, task)
            raise KeyboardInterrupt
        if status == "on":  # killed, after another checkpoint
            self.work.steps[task.name] = self.work.steps.get(task.name, 0) + 1
            status = -9
        if status == 0:
            self.work.done.add(task.name)
        return [Ended(task, status, "the node died" if status is None else "")]

    def stop(self):
        self.stopped = True


class Work:
    def __init__(self):
        self.done, self.steps, self.bad, self.given_up, self.after = set(), {}, {}, {}, {}

    def is_done(self, task):
        return task.name in self.done

    def step(self, task):
        return self.steps.get(task.name, 0)

    def is_ready(self, task):
        return self.after.get(task.name, task.name) in {task.name, *self.done}

    def hopeless(self, task):
        return self.bad.get(task.name, "")

    def give_up(self, task, reason):
        self.given_up[task.name] = reason


def tasks(folder, *names):
    return [Task(name=name, arguments=(), log=str(folder / f"{name}.log"), lease=str(folder / name)) for name in names]


def drive(executor, folder, *names, **options):
    said = []
    outcome = Driver(executor.work, executor, log=said.append, **options).run(tasks(folder, *names))
    return outcome, said


def test_every_task_is_done_once_and_no_more_at_a_time_than_there_is_room_for(tmp_path):
    executor = Scripted(slots=2)
    executor.work.done.add("c")
    outcome, _ = drive(executor, tmp_path, *"abcde")
    assert executor.started == [*"abde"]
    assert executor.most == 2
    assert (set(outcome.done), outcome.found, outcome.failed) == (set("abcde"), ("c",), ())


def test_an_engine_with_a_queue_gets_all_at_once(tmp_path):
    executor = Scripted(slots=None)
    drive(executor, tmp_path, *"abcde")
    assert executor.most == 5


@pytest.mark.parametrize("death", [-9, None, LOST, 130, 137])
def test_a_task_that_dies_is_started_again_and_given_up_when_it_gets_nowhere(tmp_path, death):
    executor = Scripted(a=[death, 0], b=[death] * 9)
    outcome, said = drive(executor, tmp_path, "a", "b", retries=3)
    assert outcome.done == ("a",)
    assert executor.started.count("a") == 2
    assert executor.started.count("b") == 4
    assert [failure.name for failure in outcome.failed] == ["b"]
    assert "4 times without getting on" in executor.work.given_up["b"]
    assert any("goes on from its last checkpoint" in line for line in said)


def test_deaths_of_a_task_that_gets_on_are_no_reason_to_give_it_up(tmp_path):
    executor = Scripted(a=["on"] * 9 + [0])
    outcome, _ = drive(executor, tmp_path, "a", retries=1)
    assert outcome.done == ("a",)
    assert executor.started == ["a"] * 10


def test_a_task_that_says_what_is_wrong_is_given_up_at_once_and_the_rest_finish(tmp_path):
    (tmp_path / "b.log").write_text("epoch 1/2\niwax: Expected a finite loss; got nan.\n\n")
    executor = Scripted(b=[1], c=[2])
    outcome, said = drive(executor, tmp_path, *"abcd")
    assert set(outcome.done) == {"a", "d"}
    assert [(failure.name, failure.reason) for failure in outcome.failed] == [
        ("b", "Expected a finite loss; got nan."),
        ("c", "It ended with status 2, and said nothing."),
    ]
    assert f"b: failed. Expected a finite loss; got nan. Its log: {tmp_path / 'b.log'}" in said


def test_after_too_many_failures_nothing_more_is_started(tmp_path):
    executor = Scripted(slots=1, a=[1], c=[1])
    outcome, _ = drive(executor, tmp_path, *"abcde", max_failures=2)
    assert executor.started == [*"abc"]
    assert outcome.left == ("d", "e")
    assert outcome.done == ("b",)


def test_what_would_fail_again_is_not_tried_again(tmp_path):
    executor = Scripted()
    executor.work.bad["a"] = "Its loss became NaN."
    outcome, _ = drive(executor, tmp_path, "a", "b")
    assert executor.started == ["b"]
    assert outcome.failed[0].reason == "Its loss became NaN."


def test_a_task_of_somebody_else_is_left_to_them_until_they_end(tmp_path):
    """Not even started while its lease is held; and done, once they have done it."""
    executor, looks = Scripted(slots=2), []
    with lease(tmp_path / "a"), lease(tmp_path / "b"):
        held = lease(tmp_path / "c")
        held.__enter__()

        def wait(seconds):
            looks.append(list(executor.started))
            if len(looks) == 3:
                executor.work.done |= {"a", "b"}
                held.__exit__(None, None, None)
            return Scripted.wait(executor, seconds) if executor.running else []

        executor.wait = wait
        outcome, said = drive(executor, tmp_path, *"abcd")
    assert looks[:3] == [["d"]] * 3
    assert executor.started == ["d", "c"]
    assert set(outcome.done) == set("abcd")
    assert "a: done by another driver" in said


def test_a_task_that_finds_its_lease_held_waits_for_its_turn(tmp_path):
    executor = Scripted(a=[BUSY, BUSY, 0])
    outcome, _ = drive(executor, tmp_path, "a", "b", retries=0)
    assert set(outcome.done) == {"a", "b"}
    assert executor.started.count("a") == 3


def test_a_task_waits_for_what_it_goes_on_from(tmp_path):
    executor = Scripted(slots=3)
    executor.work.after = {"a": "c", "b": "a"}
    outcome, _ = drive(executor, tmp_path, "a", "b", "c")
    assert executor.started == ["c", "a", "b"]
    assert set(outcome.done) == set("abc")


def test_a_task_whose_beginning_was_given_up_is_given_up_too(tmp_path):
    executor = Scripted(slots=3, c=[1])
    executor.work.after = {"a": "c"}
    outcome, _ = drive(executor, tmp_path, "a", "b", "c")
    assert outcome.done == ("b",)
    assert outcome.failed[-1].name == "a"
    assert "what it goes on from was given up" in outcome.failed[-1].reason


def test_an_interruption_stops_what_runs_and_is_passed_on(tmp_path):
    executor = Scripted(a=[KeyboardInterrupt])
    with pytest.raises(KeyboardInterrupt):
        drive(executor, tmp_path, "a", "b", "c")
    assert executor.stopped
    assert executor.started == ["a", "b"]


def test_the_last_progress_counts_what_another_driver_did_meanwhile(tmp_path):
    executor, said = Scripted(slots=1, a=[0]), []

    def on_progress(progress):
        said.append(progress.note)
        if "1 done" in progress.note:
            executor.work.done.add("b")

    Driver(executor.work, executor, on_progress=on_progress).run(tasks(tmp_path, "a", "b"))
    assert executor.started == ["a"]
    assert said[-2:] == ["1 done, 0 running, 0 failed", "2 done, 0 running, 0 failed"]
