"""What a comparison found, as values and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

from bench.compare import summary

if TYPE_CHECKING:
    from bench.wire.probe import Seen
    from bench.work.work import Work


@frozen
class Sample:
    """What one work came to, for one proxy, in one round."""

    proxy: str
    work: str
    round: int
    values: dict[str, float]


@frozen
class Failure:
    """Why there is no sample."""

    proxy: str
    work: str
    round: int
    reason: str
    tried: bool
    """Whether it was begun at all."""


@frozen
class Look:
    """What was seen of one proxy before it was measured."""

    version: str
    checks: str
    """What it checks of a peer's name."""
    takes_strangers: list[str]
    """The sides that let in a peer of an unknown authority: it should be none."""
    full: Seen
    resumed: Seen


@frozen
class Results:
    """All that a comparison found."""

    works: list[Work]
    ours: str
    against: str
    looks: dict[str, Look] = field(factory=dict)
    absent: dict[str, str] = field(factory=dict)
    """Why proxies are not in it."""
    samples: list[Sample] = field(factory=list)
    failures: list[Failure] = field(factory=list)

    @property
    def proxies(self) -> list[str]:
        """The names of those that were measured."""
        return list(self.looks)

    def by_round(self, proxy: str, work: str, key: str) -> dict[int, float]:
        """Return the values of one measure, one for each round that has it."""
        return {
            sample.round: sample.values[key]
            for sample in self.samples
            if (sample.proxy, sample.work) == (proxy, work)
        }

    def figure(self, proxy: str, work: str, key: str) -> summary.Figure | None:
        """Return the median of one measure, None where it was never measured."""
        values = self.by_round(proxy, work, key)
        return summary.figure(list(values.values())) if values else None

    def ratio(self, work: str, key: str) -> summary.Figure | None:
        """Return ours in proportion to the other, round by round."""
        ratios = summary.ratios(
            self.by_round(self.ours, work, key), self.by_round(self.against, work, key)
        )
        return summary.figure(ratios) if ratios else None

    def reasons(self, proxy: str, work: str) -> list[str]:
        """Return why samples of one work are missing, each reason once."""
        found = [
            failure.reason
            for failure in self.failures
            if (failure.proxy, failure.work) == (proxy, work)
        ]
        return list(dict.fromkeys(found))

    def was_tried(self, proxy: str, work: str) -> bool:
        """Whether a work without a figure was begun."""
        return any(
            failure.tried
            for failure in self.failures
            if (failure.proxy, failure.work) == (proxy, work)
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything, for machines."""
        return {
            "ours": self.ours,
            "against": self.against,
            "proxies": {name: asdict(look) for name, look in self.looks.items()},
            "absent": self.absent,
            "summary": [row for work in self.works for row in self._rows(work)],
            "samples": [asdict(sample) for sample in self.samples],
            "failures": [asdict(failure) for failure in self.failures],
        }

    def _rows(self, work: Work) -> list[dict[str, Any]]:
        return [
            {
                "work": work.name,
                "measure": measure.key,
                "figures": {
                    proxy: asdict(figure)
                    for proxy in self.proxies
                    if (figure := self.figure(proxy, work.name, measure.key))
                },
                "ratio": asdict(ratio)
                if (ratio := self.ratio(work.name, measure.key))
                else None,
            }
            for measure in work.measures
        ]
