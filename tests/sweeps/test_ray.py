"""What Ray is asked for, by a Ray that only listens; test_sweep_processes.py has the one that works."""

import pickle
import sys
from types import ModuleType, SimpleNamespace

import pytest

from iwax.errors import IwaxError
from iwax.sweeps import Ended, Task
from iwax.sweeps.executors.ray import RayExecutor


class LostError(Exception):
    """Of a worker or a node that died."""


class Listening(ModuleType):
    """Answers as Ray does, and keeps what it is told."""

    def __init__(self):
        super().__init__("ray")
        self.options, self.sent, self.cancelled, self.lost, self.refuses = {}, [], [], None, None
        self.exceptions = SimpleNamespace(RayError=LostError)

    def init(self, address, **_):
        if self.refuses:
            raise self.refuses

    def shutdown(self):
        pass

    def remote(self, **options):
        self.options = options
        return lambda function: SimpleNamespace(remote=lambda task: self.sent.append(pickle.dumps(task)) or "reference")

    def wait(self, references, num_returns, timeout):
        return references[:num_returns], references[num_returns:]

    def get(self, reference):
        if self.lost:
            raise LostError(self.lost)
        return 0

    def cancel(self, reference):
        self.cancelled.append(reference)


@pytest.fixture
def ray(monkeypatch):
    listening = Listening()
    monkeypatch.setitem(sys.modules, "ray", listening)
    return listening


TASK = Task(name="one", arguments=("sweep", "--run", "one"), log="log")


def test_ray_only_places_tasks_and_tries_none_again_and_keeps_no_idle_worker(ray):
    """What its retries would begin again goes on from the run's own checkpoint; text is all that is sent."""
    with RayExecutor(cores=2, gpus=0.25) as executor:
        executor.start([TASK])
        assert executor.wait(0.0) == [Ended(TASK, 0)]
    assert ray.options == {"num_cpus": 2, "num_gpus": 0.25, "max_retries": 0, "max_calls": 1}
    (sent,) = ray.sent
    assert len(sent) < 1000
    assert (pickle.loads(sent).cores, pickle.loads(sent).gpus) == (2, 0.25)
    assert ray.cancelled == []


def test_what_ray_lost_is_said_in_a_sentence_without_its_advice(ray):
    ray.lost = "The node of the task is dead. Node IP: 1.2.3.4. To see more, use `ray list nodes`.\nAnd more."
    with RayExecutor() as executor:
        executor.start([TASK])
        assert executor.wait(0.0) == [Ended(TASK, None, "LostError: The node of the task is dead")]


@pytest.mark.parametrize("kind", [ConnectionError, RuntimeError, LostError])
def test_a_cluster_that_takes_no_tasks_is_one_line(ray, kind):
    """None is there, it has another version of Ray, or this user has no right to it."""
    ray.refuses = kind("Version mismatch: The cluster was started with\nRay: 1.0")
    said = r"at auto to take tasks; got Version mismatch: The cluster was started with Ray: 1\.0\. Start one with"
    with pytest.raises(IwaxError, match=said):
        RayExecutor("auto").__enter__()


def test_what_runs_on_ray_is_cancelled_when_its_driver_ends(ray):
    with RayExecutor() as executor:
        executor.start([TASK])
    assert ray.cancelled == ["reference"]
