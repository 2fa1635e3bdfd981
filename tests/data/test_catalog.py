import subprocess
import sys

import jaxtyping
import numpy as np
import pytest

import iwax.data
from iwax.data import DATASETS, check_there, describe, fetch, load


def test_public_names():
    for name in ("load", "fetch", "describe", "Dataset", "DATASETS", "BINARIZATIONS", "binarize", "check_images"):
        assert name in iwax.data.__all__
        assert hasattr(iwax.data, name)


def test_listing_and_loading_do_not_import_jax():
    program = "import sys; from iwax.data import *; from iwax.data import describe, load, BINARIZATIONS, check_images"
    program = program.replace("from iwax.data import *; ", "") + "; describe(); load('mnist-sample')"
    check = f"{program}; assert 'jax' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("mnits", "Did you mean 'mnist'?"), ("Omniglot", "Did you mean 'omniglot'?"), ("", "Choose one of these.")],
)
def test_an_unknown_data_set_is_refused_with_the_nearest(name, remedy):
    for act in (load, fetch, check_there):
        with pytest.raises(
            ValueError, match=r"^Expected dataset to be one of mnist, mnist-sample, omniglot, "
        ) as caught:
            act(name)
        assert str(caught.value).endswith(f"; got {name!r}, which is not there. {remedy}")


def test_a_name_mistyped_is_looked_for_in_this_folder(tmp_path, monkeypatch):
    (tmp_path / "faces").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"got 'facse', which is not there\. Did you mean 'faces'\?"):
        load("facse")


def test_an_unknown_split_is_refused_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"Expected split of omniglot to be one of burda, dd2434; got 'burd'\. Did you"
    ):
        load("omniglot", "burd")
    with pytest.raises(ValueError, match=r"Expected split of mnist-sample to be one of standard; got 'x'"):
        load("mnist-sample", "x")


def test_every_row_of_the_table_is_described():
    rows = describe()
    assert [(row.name, row.split) for row in rows] == [(n, s) for n, entry in DATASETS.items() for s in entry.splits]
    for row in rows:
        assert (row.train, row.test) == DATASETS[row.name].splits[row.split]
        assert row.shape == (28, 28)
        assert row.checksums
        assert all(len(checksum) == 64 for checksum in row.checksums.values())
        assert row.licence
    assert [row.source for row in rows] == [
        "web mirrors, then bundled sample",
        "bundled sample",
        "web mirrors",
        "web mirrors",
    ]


def test_fetching_the_sample_needs_nothing(cache):
    assert len(fetch("mnist-sample").test) == 500
    assert not cache.exists()


@pytest.mark.parametrize("data", [np.eye(3), [[1.0]], None], ids=["array", "list", "None"])
def test_data_themselves_are_no_name(data, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as a user calls
    for take in (load, fetch):
        with pytest.raises(TypeError, match=rf"a name or a path; got {type(data).__name__}\. Give .* to iwax\.fit"):
            take(data)
