"""The configuration of a run and its JSON."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iwax.runs.config import RunConfig


@given(
    st.builds(
        RunConfig,
        objective=st.text(),
        num_samples=st.none() | st.integers(),
        beta=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        epsilon_hat=st.none() | st.booleans(),
        dataset=st.text(),
        seed=st.integers(),
    )
)
@settings(max_examples=25)
def test_json_and_back(config):
    assert RunConfig.from_json(config.to_json()) == config


def test_what_a_file_leaves_out_has_its_default():
    assert RunConfig.from_json('{"seed": 3}') == RunConfig(seed=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"epoch": 3}', r"Expected the keys of a configuration to be known; got 'epoch'\. Did you mean 'epochs'\?"),
        ('{"epochs": "3"}', "Expected epochs to be .*; got '3'"),
        ('{"objective": null}', "Expected objective to be .*; got None"),
        ("[1]", "Expected a configuration to be a JSON object; got list"),
        ('{"seed": 3', "delimiter"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        RunConfig.from_json(text)


def test_every_field_explains_itself():
    assert all(len(field.metadata["help"]) > 10 for field in RunConfig.__dataclass_fields__.values())
    assert set(json.loads(RunConfig().to_json())) == set(RunConfig.__dataclass_fields__)
