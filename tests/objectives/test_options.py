"""Options belong to the class of their objective: what command line, configurations and reports make of its fields."""

import dataclasses
import runpy
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

import iwax
from iwax.experiments.identity import run_name
from iwax.objectives import OBJECTIVES, every_option, options
from iwax.report.format import objective_name
from iwax.runs import OBJECTIVE_FIELDS, RunConfig, resolve
from iwax.training import VARYING

ROOT = Path(__file__).parents[2]
OTHER = {  # option -> a value that is nobody's default, and what it needs besides; in the order of config.json
    "num_groups": {"num_groups": 3},
    "num_samples": {"num_samples": 6},
    "beta": {"beta": 0.25},
    "beta_rule": {"beta_rule": "ascend"},
    "alpha": {"alpha": 0.25},
    "order": {"order": 2},
    "divergence": {"divergence": "chi-square"},
    "baseline": {"baseline": "arithmetic"},
    "num_auxiliary": {"num_auxiliary": 2},
    "gamma": {"gamma": 0.25},
    "num_intervals": {"num_intervals": 3},
    "first_point": {"first_point": 0.25},
    "backward": {"backward": "resampled"},
    "num_resampled": {"backward": "resampled", "num_resampled": 3},
    "sampling": {"sampling": "antithetic"},
    "gradient": {"gradient": "sticking-the-landing"},
}


def config(name, **fields):
    fields = {"num_samples": 4, "gradient": OBJECTIVES[name](num_samples=4).gradient} | fields
    return dataclasses.asdict(resolve(RunConfig(objective=name, **fields)).config)


class Power(iwax.Objective):
    """The log of a power mean."""

    num_samples: int = eqx.field(static=True, kw_only=True, default=6)
    power: Float[Array, ""] = eqx.field(
        kw_only=True, default=2.0, converter=jnp.asarray, metadata={"help": "p.", "label": "p = {}"}
    )
    order: str = eqx.field(static=True, kw_only=True, default="up", metadata={"help": "Which way."})

    def formula(self, log_w):
        return jnp.max(log_w, axis=0)


def test_the_module_of_options_is_the_generated_one():
    script = runpy.run_path(str(ROOT / "scripts" / "objective_options.py"))
    assert script["MODULE"].read_text() == script["module"](), "Run: make pages"


def test_the_fields_of_a_class_are_its_options_with_their_types_helps_and_labels():
    found = options(Power)
    assert list(found) == ["num_samples", "backward", "num_resampled", "sampling", "gradient", "power", "order"]
    assert (found["power"].kind, found["power"].default, found["power"].help) == (float, 2.0, "p.")
    assert found["power"].words(0.5) == "p = 0.5"
    assert (found["power"].is_array, found["order"].is_array) == (True, False)
    assert found["order"].words("down") == "order down"
    assert (found["num_resampled"].kind, found["num_samples"].default) == (int, 6)
    assert options(iwax.CIWAE)["beta"].kind is float  # which the class keeps as `beta_parameter`
    assert "beta_parameter" not in options(iwax.CIWAE)


def test_the_help_of_train_knows_every_option_and_imports_no_jax():
    program = """
import sys
from iwax.cli import main
try:
    main(["train", "--help"])
except SystemExit:
    assert "jax" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [f for f in OBJECTIVE_FIELDS if f"--{f.replace('_', '-')} " not in done.stdout] == []


def test_the_options_that_a_cohort_may_differ_in_are_the_arrays():
    assert VARYING[:3] == ("seed", "beta", "alpha")
    assert {name for name, option in every_option(OBJECTIVES).items() if option.is_array} == set(VARYING) & set(OTHER)


def test_one_table_says_which_objectives_have_an_option():
    found = every_option({"miwae": iwax.MIWAE, "piwae": iwax.PIWAE, "power": Power})
    assert list(found) == [
        *("num_groups", "num_samples", "power", "order"),
        *("backward", "num_resampled", "sampling", "gradient"),
    ]
    assert found["num_groups"].help == "M: groups of samples (miwae, piwae)."
    assert "(" not in found["num_samples"].help

    class Else(Power):
        power: float = eqx.field(static=True, kw_only=True, default=1.0, metadata={"help": "Another."})

    assert every_option({"power": Power, "else": Else})["power"].help == "p (power); Another (else)."
    with pytest.raises(TypeError, match=r"Expected the option order to have one type in all objectives; got {'jvi'"):
        every_option({"jvi": OBJECTIVES["jvi"], "power": Power})


@pytest.mark.parametrize(
    ("metadata", "kind", "message"),
    [
        ({}, float, r"Expected every option of Other to have a field with metadata={'help': ...}; got none for q"),
        ({"help": "A list."}, list, "Expected q of Other to be int, float, str, bool or an array; got <class 'list'>"),
    ],
)
def test_an_option_without_a_help_or_of_an_unreadable_type_is_refused(metadata, kind, message):
    class Other(Power):
        q: kind = eqx.field(static=True, kw_only=True, default=None, metadata=metadata)

    with pytest.raises(TypeError, match=message):
        options(Other)


def test_the_configuration_has_every_option_in_its_old_place():
    assert [name for name in OBJECTIVE_FIELDS if name in OTHER] == list(OTHER)
    names = [field.name for field in dataclasses.fields(RunConfig)]
    assert names[: len(OBJECTIVE_FIELDS) + 2] == ["objective", *OBJECTIVE_FIELDS, "model"]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_runs_that_differ_in_any_option_read_otherwise(name):
    """In reports, and those of one objective's own in names of folders, too."""
    plain = config(name)
    for option, described in options(OBJECTIVES[name]).items():
        if option not in OTHER and described.kind is str:  # of an objective added since: some other value is not known
            continue
        fields = OTHER[option] if option in OTHER else {option: described.default / 2}
        try:
            other = config(name, **fields)
        except ValueError:  # an estimator, a sampling or a backward pass that this one does not take
            assert option in ("gradient", "sampling", "backward", "num_resampled")
            continue
        assert objective_name(other) != objective_name(plain), option
        if option in ("alpha", "order", "divergence", "baseline", "num_auxiliary", "gamma", "num_intervals"):
            word = f"-{option.replace('_', '-')}{fields[option]}-"
            assert word in run_name(RunConfig(**other))
            assert word not in run_name(RunConfig(**plain))


def test_an_option_at_its_default_is_not_worded_unless_records_report_it():
    assert objective_name(config("ovis")) == "OVIS(4), score"
    assert objective_name(config("ovis", gamma=0.25)) == "OVIS(4), γ 0.25, score"
    assert objective_name(config("vr-iwae")) == "VR-IWAE(4), α 0.5"
    assert objective_name(config("ciwae", beta_rule="descend")) == "CIWAE(4), β 0.5, learned (descend)"
    assert objective_name(config("iwae", sampling="sobol")) == "IWAE(4), sobol draws"
    assert objective_name({"objective": "elsewhere", "num_samples": 5, "gamma": 1.0}) == "ELSEWHERE(5)"
