"""What is in force, as files and messages come and go."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, evolve, field
from prometheus_client import CollectorRegistry

from sidecar.admin.readiness import Readiness
from sidecar.assembly import build_mesh
from sidecar.config.check import Checked
from sidecar.config.model import AccessLevel, Config, Identity, Tls
from sidecar.config.problems import ConfigError
from sidecar.identity.bundle import TrustBundle
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.model import Policy
from sidecar.rotation import Rotation
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.metrics import Metrics
from tests.support.agent import der, entry, issue, response
from tests.support.mesh import authority, material, svid
from tests.support.pki import new_authority, now
from tests.support.sidecars import Samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.material import Material
    from sidecar.proxy.mesh import Mesh

PATH = Path("sidecar.yaml")
AUTHORITY = new_authority()
API = SpiffeId.parse("spiffe://example.org/api")
FROM_AGENT = Checked(Config(Identity(workload_api="unix:///s")), Policy(), None, ())


def from_files(own: Material) -> Checked:
    config = Config(Identity(certificate_chain=PATH))
    return Checked(config, Policy(), own, ())


@define
class Desk:
    checked: Checked
    mesh: Mesh = field(init=False)
    readiness: Readiness = field(init=False)
    rotation: Rotation = field(init=False)
    seconds: float = 0.0

    def __attrs_post_init__(self) -> None:
        metrics = Metrics(CollectorRegistry())
        access_log = AccessLog(2, AccessLevel.ALL, metrics.access_records_dropped)
        self.mesh = build_mesh(PATH, self.checked, metrics, access_log)
        self.readiness = Readiness(("identity",))
        self.rotation = Rotation(
            PATH, self.checked, self.mesh, self.readiness, lambda: self.seconds
        )

    def put(self, checked: Checked) -> bool:
        self.checked = checked
        return self.rotation.put_in_force(checked, now())

    def receive(self, *svids: Any, **more: Any) -> bool:
        message = response(*svids, **more).SerializeToString()
        return self.rotation.receive(message, self.checked, now())

    def samples(self) -> Samples:
        return Samples.parse(self.mesh.metrics.render().decode())


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk(FROM_AGENT)
    yield desk
    desk.mesh.engine.close()


def api(**changes: Any) -> Any:
    return entry(issue(AUTHORITY, "/api"), AUTHORITY, **changes)


def test_the_first_message_begins_and_is_no_rotation(desk: Desk) -> None:
    assert not desk.mesh.identified.is_set()
    assert desk.receive(api()) is False
    assert desk.mesh.identified.is_set()
    assert desk.readiness.ready
    assert desk.mesh.credentials.generation == 1
    begin, end = (
        desk.samples()[f"sidecar_svid_{moment}_timestamp_seconds"]
        for moment in ("not_before", "expiry")
    )
    assert 0 < begin < end


def test_each_one_that_differs_is_a_generation(desk: Desk) -> None:
    sent = api()
    desk.receive(sent)
    first = desk.mesh.credentials
    assert desk.receive(sent) is False
    assert desk.mesh.credentials is first
    assert desk.receive(api()) is True
    assert desk.mesh.credentials.generation == 2


def test_a_message_that_will_not_do_is_said_and_changes_nothing(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    assert desk.receive(api(bundle=b"x")) is False
    assert desk.rotation.waits
    assert "identity: identity.workload_api: bundle of " in desk.readiness.body()
    assert not desk.readiness.ready
    desk.receive(api())
    before = desk.mesh.credentials
    assert desk.receive(api(bundle=b"x")) is False
    assert desk.mesh.credentials is before
    assert desk.readiness.body().startswith("ready\nwarning: identity: identity.work")
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 2
    count = desk.samples().sum(
        "sidecar_reloads_total", what="identity", result="failed"
    )
    assert count == 2
    assert desk.receive(api()) is True
    assert desk.readiness.body() == "ready"
    assert not desk.rotation.waits


def test_what_openssl_does_not_take_leaves_the_last_good_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.receive(api())
    before = desk.mesh.credentials
    strict = evolve(FROM_AGENT.config, tls=Tls(groups=("P-25519",)))
    desk.checked = evolve(FROM_AGENT, config=strict)
    assert desk.receive(api()) is False
    assert desk.mesh.credentials is before
    assert "does not know the group 'P-25519'" in desk.readiness.body()
    assert desk.put(FROM_AGENT) is False  # and it is what would be served with again


def test_what_was_withdrawn_does_not_come_back_with_a_reload(desk: Desk) -> None:
    sent = api()
    desk.receive(sent)
    desk.rotation.withdraw("the agent says no")
    assert desk.mesh.credentials.unusable() == "the agent says no"
    assert desk.readiness.body() == "identity: the agent says no"
    assert desk.put(FROM_AGENT) is False
    assert desk.mesh.credentials.unusable() == "the agent says no"
    assert desk.receive(sent) is True
    assert desk.mesh.credentials.unusable() is None
    assert desk.readiness.body() == "ready"


def test_a_refusal_ends_what_is_open_only_if_it_is_repeated_for_some_time(
    desk: Desk,
) -> None:
    desk.receive(api())
    ours = API
    before = desk.mesh.generations
    for seconds in (0, 1, 8.5):
        desk.seconds += seconds
        desk.rotation.withdraw("the agent says no")
        assert desk.mesh.credentials.is_ours(ours)
    assert desk.mesh.generations is before
    desk.rotation.lost("nobody answers")  # which takes nothing back
    desk.seconds += 1
    desk.rotation.withdraw("the agent says no")
    assert not desk.mesh.credentials.is_ours(ours)
    judged_again = desk.mesh.generations
    assert judged_again is not before
    desk.seconds += 60
    desk.rotation.withdraw("the agent says no")
    assert desk.mesh.generations is judged_again
    assert desk.receive(api()) is True
    assert desk.mesh.credentials.is_ours(ours)
    assert desk.readiness.body() == "ready"


def test_an_answer_between_two_refusals_begins_anew(desk: Desk) -> None:
    sent = api()
    desk.receive(sent)
    desk.rotation.withdraw("the agent says no")
    desk.seconds += 60
    desk.rotation.found()
    desk.receive(sent)
    desk.rotation.withdraw("the agent says no")
    assert desk.mesh.credentials.is_ours(API)


def test_an_svid_that_is_absent_is_presented_no_more(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    internal = evolve(FROM_AGENT.config.identity, hint="internal")
    desk.checked = evolve(FROM_AGENT, config=Config(internal))
    desk.receive(api(hint="internal"))
    assert desk.readiness.body() == "ready"
    other = entry(issue(AUTHORITY, "/other"), AUTHORITY)
    assert desk.receive(other) is True
    why = "spiffe://example.org/api was taken from us"
    assert desk.mesh.credentials.unusable() == why
    assert not desk.mesh.credentials.is_ours(API)
    assert desk.readiness.body().startswith(f"identity: {why}\nwarning: identity: ")
    assert desk.put(desk.checked) is False  # a reload changes nothing about it
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.getMessage()[:14] for each in warnings] == ["identity.hint:"]
    assert desk.receive(api(hint="internal")) is True
    assert desk.mesh.credentials.unusable() is None
    assert desk.readiness.body() == "ready"


def test_files_take_the_place_of_what_was_withdrawn(desk: Desk) -> None:
    desk.rotation.withdraw("the agent says no")
    assert desk.put(from_files(material(svid("api")))) is False
    assert desk.mesh.identified.is_set()
    assert desk.readiness.ready


def test_an_agent_that_is_away_is_a_warning_once_there_is_an_identity(
    desk: Desk,
) -> None:
    desk.rotation.lost("nobody answers")
    assert desk.readiness.body() == "identity: nobody answers"
    desk.rotation.found()
    desk.receive(api())
    desk.rotation.lost("nobody answers")
    assert desk.readiness.body() == "ready\nwarning: workload_api: nobody answers"
    desk.rotation.found()
    assert desk.readiness.body() == "ready"


def test_a_bundle_that_is_absent_or_empty_shows_no_date(desk: Desk) -> None:
    name = "sidecar_bundle_expiry_timestamp_seconds"
    partner = authority("partner.test")
    desk.receive(api(), federated={"spiffe://partner.test": der([partner.root])})
    assert desk.samples().sum(name, trust_domain="partner.test") > 0
    desk.receive(api())
    with pytest.raises(KeyError):
        desk.samples().sum(name, trust_domain="partner.test")
    assert desk.samples().sum(name, trust_domain="example.org") > 0


def test_a_bundle_that_has_gone_back_is_refused() -> None:
    def with_sequence(number: int) -> Checked:
        own = material(svid("api"))
        bundle = TrustBundle("partner.test", (), number)
        bundles = {**own.bundles, "partner.test": bundle}
        return from_files(evolve(own, bundles=bundles))

    desk = Desk(with_sequence(7))
    before = desk.mesh.credentials
    with pytest.raises(ConfigError) as caught:
        desk.put(with_sequence(6))
    (problem,) = caught.value.problems
    assert problem.where == "identity.trust_bundles.partner.test"
    assert desk.mesh.credentials is before
    assert desk.put(with_sequence(8)) is True
    assert desk.mesh.credentials.generation == 2
    desk.mesh.engine.close()


def test_each_additional_identity_has_a_date_of_its_own() -> None:
    name = "sidecar_additional_svid_expiry_timestamp_seconds"
    own = material(svid("api"))
    both = evolve(own, additional={"billing": svid("billing")})
    desk = Desk(from_files(both))
    end = svid("billing").not_valid_after.timestamp()
    assert desk.samples().sum(name, identity="billing") == end
    assert desk.put(from_files(own)) is True
    with pytest.raises(KeyError):
        desk.samples().sum(name, identity="billing")
    desk.mesh.engine.close()
