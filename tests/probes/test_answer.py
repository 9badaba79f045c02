from __future__ import annotations

from sidecar.probes.answer import NO_ANSWER, TOO_SLOW, UNHEALTHY


def test_each_kind_of_failure_has_a_number_of_its_own_that_the_kubelet_shows() -> None:
    numbers = {NO_ANSWER, TOO_SLOW, UNHEALTHY}
    assert len(numbers) == 3
    assert all(500 <= number < 600 for number in numbers)
