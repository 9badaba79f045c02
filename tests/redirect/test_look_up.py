from __future__ import annotations

from sidecar.redirect.look_up import look_up


def test_a_name_has_addresses() -> None:
    found = look_up(["localhost", "localhost"], 10)
    assert found.keys() == {"localhost"}
    assert set(found["localhost"]) <= {"127.0.0.1", "::1"}


def test_what_there_is_no_time_for_is_left_out() -> None:
    assert look_up([], 1) == {}
    assert look_up(["a.name.that.is.invalid"], 0) == {}


def test_what_is_no_name_is_left_out() -> None:
    assert look_up(["a" * 70, ".."], 10) == {}


def test_there_is_a_most() -> None:
    names = [f"127.0.0.{number}" for number in range(1, 100)]
    assert set(look_up(names, 10)) == set(names[:50])


def test_a_zone_is_left_out() -> None:
    assert look_up(["fe80::1%lo"], 10) == {"fe80::1%lo": ("fe80::1",)}
