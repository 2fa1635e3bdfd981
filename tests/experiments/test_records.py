"""Records: read as written, and refused when they are not what their name says."""

import dataclasses
import json

import pytest

from iwax.experiments.records import Record, read_records

RECORD = Record(
    id="0123456789ab",
    scale="smoke",
    asked={"objective": "elbo"},
    config={"objective": "elbo", "dataset": "mnist"},
    training={"epochs": 1, "steps": 10, "seconds": 0.5, "final_bound": -2.0, "curve": [[1, -2.0]]},
    evaluation={
        **{"num_images": 4, "num_samples": 64, "mc_error": {}, "data_error": {}, "active_units": [3, 1]},
        "values": {"log_p": -2.0, "iwae_64": -2.5, "minus_kl": -0.5},
    },
    machine={"cores": 2},
    versions={"jax": "0"},
    commit=None,
    command="iwax reproduce audit",
    date="2026-01-01",
    checkpoint_sha256="0",
    along=([1, {"log_p": -2.0}],),
    ssim={"mnist": {"ssim": 0.8}, "omniglot": {"ssim": 0.5}},
)


def test_a_record_is_read_as_it_was_written(tmp_path):
    (tmp_path / "0123456789ab.json").write_text(RECORD.to_json())
    assert read_records(tmp_path) == [RECORD]
    assert len(RECORD.to_json().splitlines()) == 3 + len(dataclasses.fields(Record))  # a line each, and the schema


def test_the_number_of_a_metric():
    assert RECORD.value("nll") == 2.0
    assert RECORD.value("minus_kl") == -0.5
    assert RECORD.value("active_units") == (3, 1)
    assert RECORD.value("ssim") == 0.8
    assert RECORD.value("ssim", "omniglot") == 0.5
    assert RECORD.value("elbo") is None


def test_no_folder_has_no_records(tmp_path):
    assert read_records(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", r"0\.json to be a record; Expected a record of schema 1; got other JSON"),
        (RECORD.to_json(), r"0\.json to hold the record of that name; got 0123456789ab"),
        (json.dumps({"schema": 1, "id": "0"}), "Expected a record with the fields of schema 1; got"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, content, message):
    (tmp_path / "0.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_records(tmp_path)
