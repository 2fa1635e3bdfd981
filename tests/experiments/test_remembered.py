"""Notes about records are found again for the same records alone."""

from iwax.experiments import found_among


def test_notes_are_those_of_the_very_records_in_their_order_whether_of_a_list_or_a_tuple():
    a, b, c = ([], [], [])  # equal, and not the same
    found_among([a, b])["note"] = 1
    assert found_among([a, b]) == found_among((a, b)) == {"note": 1}
    assert [found_among(others) for others in ([a, c], [b, a], [a], [a, b, c])] == [{}] * 4


def test_a_list_that_has_changed_is_another_and_what_was_asked_about_last_stays_longest():
    records, often = [[]], ([], [])
    found_among(records)["note"], found_among(often)["note"] = 1, 2
    records.append([])
    assert found_among(records) == {}
    for _ in range(20):
        found_among([[]])
        assert found_among(often) == {"note": 2}
    assert found_among(records[:1]) == {}  # forgotten: others were asked about since
