"""`sidecar certs webhook`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from sidecar.certs.webhook_pair import WebhookPair
from tests.certs.clusters import CONFIGURATION, SECRET, Cluster, serving
from tests.certs.commands import certs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("webhook.mesh.svc", "webhook.mesh.svc.cluster.local")
PLACE = (
    *("--namespace", "mesh", "--service", "webhook"),
    *("--secret", "webhook-certificate", "--configuration", "webhook"),
)
DAY = timedelta(days=1)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with serving(tmp_path) as cluster:
        yield cluster


def keep(cluster: Cluster, *options: str) -> int:
    return certs("webhook", *PLACE, *cluster.options, *options)


def now() -> datetime:
    return datetime.now(UTC)


def pair(age: timedelta = timedelta(), days: int = 90) -> WebhookPair:
    return WebhookPair.make(NAMES, now() - age, days * DAY)


def test_the_first_certificate_is_trusted_before_it_is_served(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keep(cluster, "--days", "30") == 0
    assert capsys.readouterr().out == "webhook.mesh.svc: made anew: there is none\n"
    made = cluster.stored
    assert made.fault(NAMES, now()) is None
    assert made.fault(NAMES, now() + 21 * DAY) is not None
    assert cluster.trusted == [made.ca, made.ca]
    assert cluster.asked[-2:] == ["PATCH webhook", "PATCH webhook-certificate"]
    # What else stands there is left alone.
    for each in cluster.objects[CONFIGURATION]["webhooks"]:
        assert each["clientConfig"]["service"]["path"] == "/inject"


def test_one_that_is_good_is_left_alone(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keep(cluster) == 0
    before = cluster.stored
    cluster.asked.clear()
    capsys.readouterr()
    assert keep(cluster) == 0
    assert cluster.stored == before
    assert cluster.asked == ["GET webhook-certificate", "GET webhook"]
    assert "is good for long enough" in capsys.readouterr().out


def test_a_renewal_keeps_the_old_ca_until_every_pod_has_the_new_certificate(
    cluster: Cluster,
) -> None:
    old = pair(age=80 * DAY)
    cluster.store(old)
    assert keep(cluster) == 0
    assert keep(cluster) == 0
    new = cluster.stored
    assert new != old
    assert cluster.trusted[0] == new.ca  # nothing trusted the old one yet
    cluster.store(old)
    for webhook in cluster.objects[CONFIGURATION]["webhooks"]:
        del webhook["clientConfig"]["caBundle"]
    settled = pair(age=DAY)
    cluster.store(settled)
    assert keep(cluster) == 0
    assert cluster.trusted == [settled.ca, settled.ca]


def test_old_and_new_are_trusted_at_once_for_a_while(cluster: Cluster) -> None:
    cluster.store(pair(age=2 * DAY))
    assert keep(cluster) == 0
    old = cluster.stored
    assert cluster.trusted == [old.ca, old.ca]
    cluster.store(WebhookPair(old.certificate, b"lost", old.ca))
    assert keep(cluster) == 0
    new = cluster.stored
    assert cluster.trusted == [new.ca + old.ca] * 2


def test_an_api_server_that_has_forgotten_the_ca_is_told_again(
    cluster: Cluster,
) -> None:
    assert keep(cluster) == 0
    for webhook in cluster.objects[CONFIGURATION]["webhooks"]:
        webhook["clientConfig"]["caBundle"] = "not base64!"
    assert keep(cluster) == 0
    assert cluster.trusted == [cluster.stored.ca] * 2


def test_of_two_jobs_at_once_one_certificate_stays(cluster: Cluster) -> None:
    other = pair()

    def meanwhile(path: str) -> None:
        if path == SECRET:
            cluster.before_patch = lambda _: None
            cluster.store(other)

    cluster.before_patch = meanwhile
    assert keep(cluster) == 0
    assert cluster.stored == other
    assert all(bundle.startswith(other.ca) for bundle in cluster.trusted)


def test_it_does_not_quarrel_for_ever(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.before_patch = lambda path: cluster.change(path) if path == SECRET else None
    assert keep(cluster) == 1
    assert "somebody else changes it each time" in capsys.readouterr().err


def test_what_must_be_there_and_is_not_is_named(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    del cluster.objects[CONFIGURATION]
    assert keep(cluster) == 1
    assert "sidecar certs webhook: GET /apis/" in capsys.readouterr().err
    assert "data" not in cluster.objects[SECRET]


def test_without_a_token_nobody_is_asked(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    (cluster.folder / "token").unlink()
    assert keep(cluster) == 1
    err = capsys.readouterr().err
    assert "token: No such file or directory (outside of a pod, --server, " in err
    assert cluster.asked == []


@pytest.mark.parametrize("days", ["0", "3651", "x"])
def test_days_out_of_range_are_bad_input(
    cluster: Cluster, days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        keep(cluster, "--days", days)
    assert caught.value.code == 2
    assert f"from 1 to 3650, got '{days}'" in capsys.readouterr().err
