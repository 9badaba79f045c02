from __future__ import annotations

from hypothesis import given, strategies as st

from sidecar.telemetry.capped import LABEL_LENGTH, OTHER, CappedLabels, printable

# Lone surrogates as well: a decoder that is not strict lets them through.
any_text = st.text(st.characters(exclude_categories=()))


def test_the_first_texts_get_their_own_label_and_the_rest_share_one() -> None:
    labels = CappedLabels(2)
    assert [labels.label(text) for text in "abcab"] == ["a", "b", OTHER, "a", "b"]


def test_a_text_that_came_too_late_stays_too_late() -> None:
    labels = CappedLabels(1)
    labels.label("a")
    assert labels.label("b") == OTHER
    assert labels.label("b") == OTHER


def test_a_long_text_is_cut_and_stays_itself() -> None:
    labels = CappedLabels(2)
    assert labels.label("x" * 5000) == "x" * LABEL_LENGTH
    assert labels.label("x" * 5000) == "x" * LABEL_LENGTH
    assert labels.label("y") == "y"


def test_long_texts_that_begin_alike_share_a_label() -> None:
    labels = CappedLabels(2)
    assert labels.label("x" * 300 + "1") == labels.label("x" * 300 + "2")
    assert labels.label("y") == "y"


def test_controls_and_lone_surrogates_are_written_out() -> None:
    assert printable("a\x1b[2J\n\ud800") == r"a\x1b[2J\n\ud800"
    assert printable("Übung, ok") == "Übung, ok"


@given(any_text)
def test_any_label_is_short_printable_and_can_be_encoded(text: str) -> None:
    label = CappedLabels(1).label(text)
    assert len(label) <= LABEL_LENGTH
    assert label.isprintable()
    label.encode()


@given(st.lists(any_text, max_size=50))
def test_there_are_never_more_labels_than_the_limit_and_one(texts: list[str]) -> None:
    labels = CappedLabels(5)
    assert len({labels.label(text) for text in texts}) <= 6
