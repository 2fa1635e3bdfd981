"""Names that are nearly right: as papers shorten them, in capitals, with underscores."""

import pytest

import iwax
from iwax.checks import check_choice, nearest
from iwax.objectives import OBJECTIVES

FAR = " Choose one of these."


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("dreg", "doubly-reparameterized"),
        ("DReG", "doubly-reparameterized"),
        ("STL", "sticking-the-landing"),
        ("pathwise", "reparameterized"),
        ("doubly_reparameterized", "doubly-reparameterized"),
        ("Reparametrized", "reparameterized"),
    ],
)
def test_a_gradient_by_the_name_that_papers_give_it(given, meant):
    with pytest.raises(ValueError, match=f"for IWAE; got '{given}'. Did you mean '{meant}'\\?$"):
        iwax.IWAE(num_samples=5, gradient=given)


NAMES = [("IWAE", "iwae"), ("VAE", "elbo"), ("Piwea", "piwae"), ("VR_IWAE", "vr-iwae")]


@pytest.mark.parametrize(("given", "meant"), NAMES)
def test_an_objective_in_capitals(given, meant):
    with pytest.raises(ValueError, match=f"got '{given}'. Did you mean '{meant}'\\?$"):
        check_choice("objective", given, OBJECTIVES)


def test_the_name_of_a_choice_is_said_as_the_choice_is_written():
    assert nearest("FOO.CSV", ["Foo.csv", "bar.csv"]) == " Did you mean 'Foo.csv'?"


@pytest.mark.parametrize("given", ["zzz", "", 5, None])
def test_what_is_near_to_nothing(given):
    assert nearest(given, OBJECTIVES) == FAR
    assert nearest("stl", ["one", "two"]) == FAR  # a short name of what is no choice here
