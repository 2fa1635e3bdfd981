"""A data set in print."""

import numpy as np

from iwax.data import Dataset, load


def test_a_data_set_is_printed_in_two_lines():
    data = load("mnist-sample")
    expected = ["mnist-sample [standard]: 2,000 training and 500 test examples, 28x28 of uint8", "from bundled sample"]
    assert str(data).splitlines() == repr(data).splitlines() == expected


def test_a_validation_part_is_printed_too_and_is_there_for_none_that_has_none():
    x = np.zeros((1200, 8, 8, 3), np.float32)
    data = Dataset(x, x[:30], "own", "given", {}, "file own.npz", validation=x[:4])
    assert (
        str(data).splitlines()[0] == "own [given]: 1,200 training, 4 validation and 30 test examples, 8x8x3 of float32"
    )
    assert load("mnist-sample").validation is None
