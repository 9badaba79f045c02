"""Sets of attributes by the thousand: which does a subject contain?"""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sidecar.policy.subject_trie import SubjectTrie

ACME, WEB, FRONT, SWISS = ("O", "Acme"), ("OU", "web"), ("OU", "front"), ("C", "CH")


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ((), set()),
        ((WEB,), {"web"}),
        ((ACME,), set()),
        ((WEB, ACME), {"web", "acme web"}),
        ((WEB, WEB, SWISS, ACME), {"web", "acme web", "swiss acme web"}),
        ((FRONT, ACME), {"acme front"}),
        (
            (SWISS, FRONT, ACME, WEB),
            {"web", "acme web", "acme front", "swiss acme web"},
        ),
    ],
)
def test_every_set_that_a_subject_contains_is_found(
    subject: tuple[tuple[str, str], ...], expected: set[str]
) -> None:
    trie: SubjectTrie[str] = SubjectTrie()
    trie.insert(frozenset({WEB}), "web")
    trie.insert(frozenset({WEB, ACME}), "acme web")
    trie.insert(frozenset({ACME, FRONT}), "acme front")
    trie.insert(frozenset({ACME, WEB, SWISS}), "swiss acme web")
    found = trie.matching(subject)
    assert sorted(found) == sorted(expected)


attributes = st.tuples(st.sampled_from(["O", "OU"]), st.sampled_from("abc"))


@given(
    st.frozensets(st.frozensets(attributes, min_size=1), max_size=5),
    st.lists(attributes, max_size=5),
)
def test_it_finds_what_asking_each_set_would(
    sets: frozenset[frozenset[tuple[str, str]]], subject: list[tuple[str, str]]
) -> None:
    trie: SubjectTrie[frozenset[tuple[str, str]]] = SubjectTrie()
    for one in sets:
        trie.insert(one, one)
    found = trie.matching(subject)
    assert len(found) == len(set(found))
    assert set(found) == {one for one in sets if one.issubset(subject)}
