from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config.identity_model import Identity, NameKind

FILE = Path("file")


def test_only_spiffe_ids_count_unless_said_otherwise() -> None:
    assert Identity().accept == {NameKind.SPIFFE}


@pytest.mark.parametrize(
    "identity",
    [
        Identity(certificate_chain=FILE),
        Identity(private_key=FILE),
        Identity(trust_bundles={"example.org": FILE}),
    ],
)
def test_one_file_is_enough_to_be_from_files(identity: Identity) -> None:
    assert identity.from_files


def test_what_stands_beside_a_workload_api_is_no_file_of_ours() -> None:
    assert not Identity().from_files
    assert not Identity(workload_api="unix:///s", crl=FILE, name_bundle=FILE).from_files
