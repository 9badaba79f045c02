from __future__ import annotations

from prometheus_client import CollectorRegistry

from sidecar.telemetry.instruments import Instruments

# Public: whoever changes a line here breaks a dashboard.
NAMES_AND_LABELS = {
    "sidecar_handshakes": ("direction", "result", "reason", "resumed"),
    "sidecar_handshake_seconds": ("direction", "result"),
    "sidecar_connections": ("direction", "outcome"),
    "sidecar_connections_open": ("direction",),
    "sidecar_connections_limit": (),
    "sidecar_received_bytes": ("direction",),
    "sidecar_sent_bytes": ("direction",),
    "sidecar_policy_decisions": ("direction", "decision", "rule"),
    "sidecar_peer_connections": ("direction", "peer", "decision"),
    "sidecar_svid_not_before_timestamp_seconds": (),
    "sidecar_svid_expiry_timestamp_seconds": (),
    "sidecar_additional_svid_expiry_timestamp_seconds": ("identity",),
    "sidecar_bundle_expiry_timestamp_seconds": ("trust_domain",),
    "sidecar_reloads": ("what", "result"),
    "sidecar_generation": ("what",),
    "sidecar_plaintext_connections": ("direction", "port"),
    "sidecar_access_records_dropped": (),
    "sidecar_build_info": ("version", "python", "openssl"),
}


def test_names_and_labels_are_the_published_ones() -> None:
    registry = CollectorRegistry()
    made = [
        instrument
        for name, instrument in vars(Instruments(registry)).items()
        if not name.startswith("_")
    ]
    assert {one._name: one._labelnames for one in made} == NAMES_AND_LABELS


def test_every_instrument_is_on_the_registry_it_was_given() -> None:
    registry = CollectorRegistry()
    Instruments(registry)
    assert {family.name for family in registry.collect()} == set(NAMES_AND_LABELS)
