"""Path patterns by the thousand: which match, and which comes close."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sidecar.policy.path_trie import SAMPLES, Near, PathTrie


def trie_of(*patterns: str) -> PathTrie[str]:
    """Return a trie in which each pattern is its own value."""
    trie: PathTrie[str] = PathTrie()
    for pattern in patterns:
        segments = pattern.split("/")
        rest = segments[-1] == "**"
        trie.insert(segments[:-1] if rest else segments, pattern, rest=rest)
    return trie


def nearest(trie: PathTrie[str], path: str, fitting: str = "") -> Near[str]:
    segments = path.split("/")
    assert not trie.matching(segments)
    return trie.nearest(segments, lambda value: fitting in value)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b", {"a/b", "a/*", "*/b", "*/*", "**", "a/**"}),
        ("a/c", {"a/*", "*/*", "**", "a/**"}),
        ("a", {"**"}),
        ("c/b", {"*/b", "*/*", "**"}),
        ("a/b/c", {"**", "a/**", "a/b/**"}),
        ("a/b/c/d", {"**", "a/**", "a/b/**"}),
    ],
)
def test_all_patterns_that_match_are_found_once(path: str, expected: set[str]) -> None:
    trie = trie_of("a/b", "a/*", "*/b", "*/*", "**", "a/**", "a/b/**", "a/b/d")
    found = trie.matching(path.split("/"))
    assert sorted(found) == sorted(expected)


def test_an_empty_trie_matches_nothing() -> None:
    assert trie_of().matching(["a"]) == []


def test_the_later_value_of_one_pattern_counts() -> None:
    trie: PathTrie[int] = PathTrie()
    trie.insert(["a"], 1, rest=False)
    trie.insert(["a"], 2, rest=False)
    assert trie.matching(["a"]) == [2]


@pytest.mark.parametrize(
    ("path", "depth", "expected", "found"),
    [
        ("ns/shop/sa/backend", 3, "frontend", "backend"),
        ("ns/web/sa/frontend", 1, "shop", "web"),
        ("xx/shop/sa/frontend", 0, "ns", "xx"),
        ("ns/shop/jobs/nightly", 2, "job", "jobs"),
        ("ns/test/any/thing", 1, "dev", "test"),
    ],
)
def test_a_pattern_that_differs_in_one_segment_is_nearest(
    path: str, depth: int, expected: str, found: str
) -> None:
    trie = trie_of("ns/shop/sa/frontend", "ns/shop/job/*", "ns/dev/**")
    near = nearest(trie, path)
    assert (near.depth, near.expected, near.found) == (depth, (expected,), (found,))
    assert near.only


def test_the_latest_segment_that_differs_is_the_one_to_name() -> None:
    trie = trie_of("ns/prod/sa/frontend", "ns/shop/sa/cart")
    near = nearest(trie, "ns/shop/sa/frontend")
    assert near == Near(["ns/shop/sa/cart"], 3, ("cart",), ("frontend",), only=True)


def test_one_that_fits_is_nearer_than_one_that_does_not() -> None:
    trie = trie_of("ns/shop/sa/cart", "ns/shop/sa/till", "ns/prod/sa/frontend")
    for fitting, found in (("", "cart"), ("till", "till"), ("none", "cart")):
        near = nearest(trie, "ns/shop/sa/frontend", fitting)
        assert near.values == [f"ns/shop/sa/{found}"]
    near = nearest(trie, "ns/shop/sa/frontend", "prod")
    assert near == Near(["ns/prod/sa/frontend"], 1, ("prod",), ("shop",), only=True)


def test_all_patterns_beyond_the_segment_that_differs_are_named() -> None:
    near = nearest(trie_of("a/b", "a/*", "a/**"), "c/b")
    assert sorted(near.values) == ["a/*", "a/**", "a/b"]


@pytest.mark.parametrize(
    ("pattern", "path", "depth", "expected", "found"),
    [
        ("ns/shop/sa/cart", "ns/web/sa/till", 1, "shop/sa/cart", "web/sa/till"),
        ("ns/shop/sa/cart", "job/nightly", 0, "ns/shop/sa/cart", "job/nightly"),
        ("ns/shop/sa/cart", "ns/shop/sa/cart/v2", 4, "", "v2"),
        ("ns/shop/sa/cart", "ns/shop", 2, "sa/cart", ""),
        ("ns/shop/**", "ns/shop", 2, "**", ""),
        ("ns/shop/**", "ns", 1, "shop/**", ""),
        ("ns/*/sa/*", "ns/shop", 2, "sa/*", ""),
        ("ns/*/sa/cart", "ns", 1, "*/sa/cart", ""),
    ],
)
def test_else_a_pattern_that_begins_alike_is_nearest(
    pattern: str, path: str, depth: int, expected: str, found: str
) -> None:
    near = nearest(trie_of(pattern), path)
    assert near.values == [pattern]
    assert (near.depth, near.only) == (depth, False)
    assert ("/".join(near.expected), "/".join(near.found)) == (expected, found)


def test_of_patterns_that_go_on_from_one_place_the_shortest_is_named() -> None:
    for others in (["ns/shop/**"], ["ns/shop/**", "ns/shop"]):
        near = nearest(trie_of("ns/shop/sa/cart", *others), "ns")
        assert near.values == others[-1:]


def test_only_so_many_patterns_beside_the_path_are_looked_at() -> None:
    others = ["ns/x/y", *(f"n{at}/x" for at in range(SAMPLES - 2))]
    assert nearest(trie_of(*others, "shop/cart"), "ns/cart").only
    assert not nearest(trie_of(*others, "n/x", "shop/cart"), "ns/cart").only


def test_a_pattern_may_be_as_deep_as_a_spiffe_id_is_long() -> None:
    deep = "a/" * 1010
    trie = trie_of(deep + "b", deep + "*/c")
    assert trie.matching((deep + "b").split("/")) == [deep + "b"]
    near = nearest(trie, deep + "d")
    assert (near.depth, near.expected, near.only) == (1010, ("b",), True)


segments = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)
patterns = st.builds(
    lambda path, tail: path + tail,
    st.lists(st.sampled_from("ab*"), min_size=1, max_size=4).map("/".join),
    st.sampled_from(["", "/**"]),
)


@given(st.lists(patterns, min_size=1, max_size=6), segments)
def test_the_nearest_pattern_has_what_is_said_of_it(some: list[str], path: str) -> None:
    trie = trie_of(*some)
    wanted = path.split("/")
    if trie.matching(wanted):
        return
    near = trie.nearest(wanted, lambda value: "a" in value)
    assert near.values
    assert set(near.values) <= set(some)
    end = near.depth + len(near.found)
    assert wanted[near.depth : end] == list(near.found)
    if near.only:
        repaired = [*wanted[: near.depth], *near.expected, *wanted[end:]]
        assert set(trie.matching(repaired)) >= set(near.values)
        assert near.expected != near.found
    else:
        assert end == len(wanted)
        (value,) = near.values
        assert value.split("/")[near.depth :] == list(near.expected)
