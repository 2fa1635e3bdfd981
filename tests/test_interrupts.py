"""Signals and memory: a command that is stopped loses nothing and says how to go on; a full device is one line."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from iwax import interrupts
from iwax.cli import main
from iwax.cli.outcome import outcome
from iwax.errors import OutOfMemoryError
from iwax.interrupts import Interrupted, finishing, handled, raising
from iwax.runs import cohorts
from iwax.runs.cohorts import new_cohort, resume_cohort
from iwax.runs.folder import CHECKPOINT, METRICS, STATUS, RunFolder
from iwax.runs.launch import new_run, resume_run
from iwax.training.fit import Trainer
from tiny import tiny_config, tiny_data

DATA = tiny_data()
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def ended(monkeypatch):
    """Ends no process; the exit status is in the exception."""

    def end(status):
        raise Ended(status)

    monkeypatch.setattr(interrupts.os, "_exit", end)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = new_run(tiny_config(), tmp_path_factory.mktemp("runs") / "undisturbed", data=DATA)
    return {name: (folder.path / name).read_bytes() for name in (CHECKPOINT, METRICS)}


@POSIX
@pytest.mark.parametrize(
    ("signum", "status"),
    [
        (signal.SIGTERM, 143),
        pytest.param("SIGHUP", 129, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_a_signal_while_training_writes_a_checkpoint_and_the_run_goes_on_to_the_same_bits(
    tmp_path, undisturbed, capfd, signum, status
):
    signum = getattr(signal, signum) if isinstance(signum, str) else signum

    def on_progress(progress):
        if progress.step == 1:
            signal.raise_signal(signum)

    with pytest.raises(Interrupted) as error, handled():
        new_run(tiny_config(), tmp_path / "run", data=DATA, on_progress=on_progress)
    folder = RunFolder(tmp_path / "run")
    assert folder.json(STATUS)["state"] == "stopped"
    assert 2 <= folder.json(STATUS)["step"] < 8
    assert "stopping once the checkpoint is written" in capfd.readouterr().err
    message, code = outcome(error.value)
    assert code == status
    assert "iwax train --resume RUN" in message
    resume_run(folder.path, data=DATA)
    assert {name: (folder.path / name).read_bytes() for name in undisturbed} == undisturbed


@POSIX
def test_a_signal_elsewhere_ends_the_process_with_one_line(ended, capfd):
    for signum, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with handled(), pytest.raises(Ended, match=str(status)):
            signal.raise_signal(signum)
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith("iwax: interrupted; to go on, ")
        assert "`iwax train --resume RUN`" in line


@POSIX
def test_the_second_signal_does_not_wait_for_a_checkpoint(ended, monkeypatch):
    monkeypatch.setattr(interrupts, "TOGETHER", 0.01)
    with handled(), pytest.raises(Ended, match="143"), finishing():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.02)
        signal.raise_signal(signal.SIGTERM)


@POSIX
def test_the_two_signals_of_a_terminal_that_is_closed_are_one(ended):
    """The terminal sends one, and the shell in it passes its own on."""
    with handled(), pytest.raises(Interrupted), finishing():  # noqa: PT012
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        assert interrupts.asked()


@POSIX
def test_a_signal_that_a_library_swallows_is_not_lost():
    """As an exception would be, which is what Python makes of Ctrl-C."""

    def library():
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.01)

    library()  # the control: nothing is left of it
    with handled(), pytest.raises(Interrupted), finishing():  # noqa: PT012
        library()
        assert interrupts.asked()
    assert not interrupts.asked()


@POSIX
def test_where_it_is_said_a_signal_is_an_exception_at_once():
    reached = []
    with handled(), pytest.raises(Interrupted) as error, raising():  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        reached.append("the next line")
    assert not reached
    assert error.value.signum == signal.SIGTERM


@POSIX
def test_ctrl_c_before_anything_is_imported_waits_for_its_answer_and_is_one_line(ended, capfd, monkeypatch):
    """Where Python would answer, by an exception out of an import, which is a traceback or is lost."""
    from iwax.cli import commands

    monkeypatch.setattr(commands, "run", lambda arguments: pytest.fail("it went on"))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    real = interrupts.handled

    def handled():
        signal.raise_signal(signal.SIGINT)  # as if it came while this module was read
        return real()

    monkeypatch.setattr(interrupts, "handled", handled)
    try:
        with pytest.raises(Ended, match="130"):
            main([])
        assert capfd.readouterr().err.startswith("iwax: interrupted; ")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@POSIX
def test_ignored_signals_stay_ignored_and_handlers_are_given_back():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        of_term = signal.getsignal(signal.SIGTERM)
        with handled():
            signal.raise_signal(signal.SIGHUP)  # as `nohup` has it
            assert signal.getsignal(signal.SIGTERM) is not of_term
        assert signal.getsignal(signal.SIGTERM) is of_term
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_command_in_another_thread_leaves_signals_alone():
    found = []

    def work():
        with handled():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


@pytest.fixture
def in_its_place(monkeypatch):
    """What ends a wait of the main thread, and the statuses with which the process would have ended meanwhile."""
    free, statuses = threading.Event(), []

    def end(status):
        statuses.append(status)
        free.set()

    monkeypatch.setattr(interrupts.os, "_exit", end)
    monkeypatch.setattr(interrupts, "GRACE", 0.05)
    return free, statuses


def _taken_by_another_thread(signum):
    """A signal of the process that ends no wait of its main thread, as that is not the one interrupted."""
    thread = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signum))
    thread.start()
    thread.join()


@POSIX
def test_a_signal_that_another_thread_took_is_answered_while_the_main_thread_waits_for_a_lock(in_its_place):
    free, statuses = in_its_place
    with handled():
        threading.Timer(0.1, _taken_by_another_thread, [signal.SIGTERM]).start()
        assert free.wait(20)  # within which Python would not answer
        assert statuses[0] == 143


@POSIX
def test_where_work_would_be_lost_the_first_unanswered_signal_is_heard_once(in_its_place, capfd):
    """By the work, which another thread does, and by the main thread, once it comes back to Python."""
    free, statuses = in_its_place

    def work():
        while not interrupts.asked():
            time.sleep(0.01)
        time.sleep(interrupts.TOGETHER)  # the main thread hears of it later than a second signal would count
        free.set()

    worker = threading.Thread(target=work, daemon=True)
    with pytest.raises(Interrupted) as error, handled(), finishing():  # noqa: PT012
        worker.start()
        threading.Timer(0.1, _taken_by_another_thread, [signal.SIGTERM]).start()
        assert free.wait(20)
    assert error.value.signum == signal.SIGTERM
    assert statuses == []
    assert capfd.readouterr().err.count("stopping once the checkpoint is written") == 1


@POSIX
def test_a_signal_that_another_thread_took_is_an_exception_out_of_a_wait_for_a_lock(in_its_place):
    free, statuses = in_its_place
    begin = time.monotonic()
    with pytest.raises(Interrupted), handled(), raising():  # noqa: PT012
        threading.Timer(0.1, _taken_by_another_thread, [signal.SIGTERM]).start()
        free.wait(20)
    assert time.monotonic() - begin < 10
    assert statuses == []


@POSIX
def test_where_work_would_be_lost_it_is_the_second_unanswered_signal_that_ends_the_process(in_its_place, monkeypatch):
    free, statuses = in_its_place
    monkeypatch.setattr(interrupts, "TOGETHER", 0.2)
    with contextlib.suppress(Interrupted), handled(), finishing():
        for seconds in (0.1, 0.11, 0.5):  # the second comes with the first, and is one with it
            threading.Timer(seconds, _taken_by_another_thread, [signal.SIGINT]).start()
        begin = time.monotonic()
        assert free.wait(20)
        assert 0.5 < time.monotonic() - begin < 10
        assert statuses[0] == 130


@POSIX
def test_a_signal_to_a_process_that_this_one_forked_is_not_this_ones():
    program = """if True:
        import os, signal, time
        from iwax.interrupts import handled
        with handled():
            child = os.fork()
            if not child:
                signal.raise_signal(signal.SIGTERM)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            time.sleep(0.5)
        print(status)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "-15\n", "")


def test_where_no_thread_can_be_started_the_main_thread_answers_alone(ended, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with handled(), pytest.raises(Ended, match="130"):
        signal.raise_signal(signal.SIGINT)


def test_a_handler_that_was_set_in_c_stays():
    """Python cannot give it back."""
    before = signal.getsignal(signal.SIGTERM)
    real = signal.getsignal
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda signum: None if signum == signal.SIGTERM else real(signum))
        with handled():
            assert real(signal.SIGTERM) is before


@POSIX
def test_a_loop_of_events_keeps_its_pipe():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    try:
        with handled():
            assert signal.set_wakeup_fd(writing) == writing
    finally:
        assert signal.set_wakeup_fd(-1) == writing
        os.close(reading)
        os.close(writing)


@POSIX
def test_a_cohort_side_by_side_stops_with_all_its_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(cohorts, "vectorized_is_quicker", lambda: False)
    configs = {"a": tiny_config(epochs=2000), "b": tiny_config(seed=1, epochs=2000)}
    sent = []

    def on_progress(progress):
        """Of a thread that trains: the system may give a signal to any, and wakes no other, the main one neither."""
        if not sent:
            sent.append(signal.pthread_kill(threading.get_ident(), signal.SIGTERM))

    with pytest.raises(Interrupted), handled():
        new_cohort(configs, tmp_path / "runs", data=DATA, on_progress=on_progress)
    states = [RunFolder(tmp_path / "runs" / name).json(STATUS).get("state", "not begun") for name in configs]
    assert "stopped" in states
    assert set(states) <= {"stopped", "not begun"}


FULL = "RESOURCE_EXHAUSTED: Out of memory allocating 4000000000 bytes."


@pytest.fixture(params=[RuntimeError])
def full(monkeypatch, request):
    """The device is full after the first step of training."""
    chunks = Trainer.chunks

    def first_only(trainer, *args):
        yield next(chunks(trainer, *args))
        raise request.param(FULL)

    monkeypatch.setattr(Trainer, "chunks", first_only)
    return lambda: monkeypatch.setattr(Trainer, "chunks", chunks)


@pytest.mark.parametrize("full", [RuntimeError, ValueError, MemoryError], indirect=True)  # JAX raises the first two
def test_a_full_device_is_one_line_that_says_what_to_lower_and_the_run_failed(tmp_path, full, undisturbed):
    with pytest.raises(OutOfMemoryError) as error:
        new_run(tiny_config(), tmp_path / "run", data=DATA)
    message, code = outcome(error.value)
    assert code == 1
    assert message.startswith("Expected memory for steps with 10 images and 1 samples of each; got RESOURCE_EXHAUSTED")
    assert "Lower --batch-size or --num-samples" in message
    status = RunFolder(tmp_path / "run").json(STATUS)
    assert (status["state"], status["message"]) == ("failed", message)
    full()
    resume_run(tmp_path / "run", data=DATA)  # where there is more room
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == undisturbed[CHECKPOINT]


def test_a_cohort_for_which_there_was_no_room_goes_on_where_there_is(tmp_path, full):
    configs = {"a": tiny_config(), "b": tiny_config(seed=1)}
    with pytest.raises(OutOfMemoryError):
        new_cohort(configs, tmp_path / "runs", data=DATA, vectorized=False)
    full()
    resume_cohort(tmp_path / "runs", data=DATA)
    assert [RunFolder(tmp_path / "runs" / name).json(STATUS)["state"] for name in configs] == ["finished"] * 2


def test_another_error_of_jax_is_a_fault_and_no_lack_of_memory(tmp_path, monkeypatch):
    def broken(trainer, *args):
        raise RuntimeError("INTERNAL: something else")
        yield

    monkeypatch.setattr(Trainer, "chunks", broken)
    with pytest.raises(RuntimeError, match="INTERNAL"):
        new_run(tiny_config(), tmp_path / "run", data=DATA)
    assert outcome(RuntimeError("INTERNAL"))[0].endswith("This is a fault of iwax; --traceback shows where.")


SMALL_MACHINE = """
import resource, sys
import jax
jax.block_until_ready(jax.jit(lambda x: x @ x)(jax.numpy.ones((64, 64))))
(size,) = (int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (1024 * size + 700_000_000,) * 2)
from iwax.cli import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit of an address space as Linux has it")
@pytest.mark.slow
def test_a_machine_without_room_is_one_line_and_a_larger_one_goes_on(tmp_path):
    """Memory that is really full, of a process that may take 700 MB beside what JAX has taken."""
    np.savez(tmp_path / "own.npz", train=DATA.train, test=DATA.test)
    options = ["--dataset", tmp_path / "own.npz", "--epochs", "1", "--objective", "iwae", "--batch-size", "10"]
    train = [sys.executable, "-c", SMALL_MACHINE, "train", *options, "--out", tmp_path / "run"]
    done = subprocess.run([*train, "--num-samples", "16000"], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "iwax: Expected memory for steps with 10 images and 16000 samples of each" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert RunFolder(tmp_path / "run").json(STATUS)["state"] == "failed"
    resume = [*COMMAND, "train", "--resume", tmp_path / "run", "--time-limit", "0.001"]
    assert subprocess.run(resume, check=False).returncode == 0
    assert RunFolder(tmp_path / "run").json(STATUS)["state"] in ("stopped", "finished")
    few = [*train[:-1], tmp_path / "few", "--num-samples", "5"]  # the control: with less there is room
    assert subprocess.run(few, check=False).returncode == 0


COMMAND = [sys.executable, "-c", "from iwax.cli import main; main()"]


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.7, 1.5, 3.0, 6.0])
def test_ctrl_c_at_any_moment_of_a_process_is_one_line_and_no_traceback(tmp_path, seconds):
    np.savez(tmp_path / "own.npz", train=DATA.train, test=DATA.test)
    options = ["--dataset", tmp_path / "own.npz", "--epochs", "9999999", "--objective", "elbo", "--batch-size", "10"]
    process = subprocess.Popen(
        [*COMMAND, "train", *options, "--out", tmp_path / "run"], stderr=subprocess.PIPE, text=True
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "iwax: interrupted" in said
