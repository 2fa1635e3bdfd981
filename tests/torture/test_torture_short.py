"""The short form of `make torture`: a few of everything, so that its tools work, and the commonest faults show."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from torture.__main__ import BEGIN, KEPT, PAGE, table
from torture.damage import hurt
from torture.kills import LONG, jumping_clock, killed_at_any_moment
from torture.levels import can_mount, on_small_disks
from torture.lines import type_lines
from torture.made_runs import make_all, with_partial
from torture.places import at_once, interrupted_early, moved_and_out_of_time
from torture.terminals import can_have_terminals, terminals_closed
from torture.tour import JOURNEYS, tour


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("torture") / "made")


def test_whatever_is_damaged_a_command_works_or_names_the_file(root, tmp_path):
    made = with_partial(shutil.copytree(root, tmp_path / "made"))
    found = hurt(made, tmp_path, keep=lambda number: number % 130 == 0)
    assert found["wrong"] == []
    assert sum(found["counts"].values()) > 15


def test_command_lines_at_random_end_with_a_line(root, tmp_path):
    found = type_lines(tmp_path / "typed", root, 40)
    assert found["wrong"] == []
    assert found["counts"][2] > 20  # the control: most are refused


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_a_command_cut_off_at_a_file_operation_ends_as_it_would_have(name, root, tmp_path):
    found = tour(root, tmp_path, name, step=20, first=7)
    assert found["wrong"] == []


def test_a_moved_folder_with_files_of_any_time_is_the_same_run(root, tmp_path):
    assert moved_and_out_of_time(root, tmp_path)["wrong"] == []


def test_the_page_has_the_table_of_what_was_tried():
    assert BEGIN + "\n" + table(json.loads(KEPT.read_text())) in PAGE.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(JOURNEYS))
def test_every_command_cut_off_at_many_places(name, root, tmp_path):
    assert tour(root, tmp_path, name, step=5)["wrong"] == []


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="no file system can be mounted")
@pytest.mark.parametrize("name", ["train", "encode"])
def test_a_command_on_a_disk_that_is_really_full_goes_on_once_there_is_room(name, root, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]))
    found = on_small_disks(root, tmp_path, name, 3)
    assert found == {"counts": {"levels": 3}, "wrong": []}


@pytest.mark.slow
def test_processes_at_once_and_processes_killed(root, tmp_path):
    assert at_once(root, tmp_path)["wrong"] == []
    assert interrupted_early(20)["wrong"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", list(LONG))
def test_a_command_killed_at_any_moment_and_with_a_clock_that_jumps_ends_as_it_would_have(name, root, tmp_path):
    assert killed_at_any_moment(root, tmp_path, name, 1)["wrong"] == []
    if name in ("train", "evaluate", "sweep"):
        assert jumping_clock(root, tmp_path, name)["wrong"] == []


@pytest.mark.slow
@pytest.mark.skipif(not can_have_terminals(), reason="no terminals of their own for processes")
def test_training_in_a_terminal_that_is_closed_stops_with_a_checkpoint_and_goes_on(root, tmp_path):
    assert terminals_closed(root, tmp_path, 2) == {"counts": {"closed": 2}, "wrong": []}
