from __future__ import annotations

import datetime as dt
import subprocess
from typing import TYPE_CHECKING

from cryptography.x509 import load_pem_x509_certificates, load_pem_x509_crl

from sidecar.identity.bundle import TrustBundle
from sidecar.identity.svid import Svid
from tests.support import pki
from tests.support.programs import require

if TYPE_CHECKING:
    from pathlib import Path


def read(pair: pki.Pair) -> Svid:
    chain, key = (path.read_bytes() for path in pair)
    return Svid.from_pem(chain, key, accept_names=False)


def test_what_is_written_is_an_svid_of_its_bundle(tmp_path: Path) -> None:
    authority = pki.new_authority("shop.test")
    pair = pki.write_svid(tmp_path, authority, "/ns/shop/sa/api")
    svid = read(pair)
    svid.check_time(pki.now())
    assert str(svid.name) == "spiffe://shop.test/ns/shop/sa/api"
    assert pair.private_key == tmp_path / "api.key"
    assert pair.private_key.stat().st_mode & 0o777 == 0o600

    bundle = pki.write_bundle(tmp_path, authority)
    assert TrustBundle.from_pem("shop.test", bundle.read_bytes()) == authority.bundle
    verify = f"verify -CAfile {bundle} {pair.certificate_chain}"
    openssl = [str(require("openssl")), *verify.split()]
    subprocess.run(openssl, check=True, capture_output=True)


def test_a_pair_is_replaced_by_one_of_the_same_name(tmp_path: Path) -> None:
    authority = pki.new_authority()
    old = read(pki.write_svid(tmp_path, authority, "/api"))
    new = read(pki.write_svid(tmp_path, authority, "spiffe://example.org/api"))
    assert old.name == new.name
    assert old.chain != new.chain


def test_an_expired_svid_can_be_had(tmp_path: Path) -> None:
    lifetime = dt.timedelta(seconds=-30)
    pair = pki.write_svid(tmp_path, pki.new_authority(), "/api", lifetime=lifetime)
    svid = read(pair)
    end = svid.chain[0].not_valid_after_utc
    assert dt.timedelta(0) < pki.now() - end < dt.timedelta(seconds=60)


def test_an_identity_trusts_each_authority_for_its_own_domain(tmp_path: Path) -> None:
    ours, partner = pki.new_authority(), pki.new_authority("partner.test")
    section = pki.identity(tmp_path, "/ns/shop/sa/api", ours, partner)
    bundles = section["trust_bundles"]
    assert list(bundles) == ["example.org", "partner.test"]
    for domain, authority in (("example.org", ours), ("partner.test", partner)):
        with open(bundles[domain], "rb") as file:  # noqa: PTH123
            assert load_pem_x509_certificates(file.read()) == [authority.root]


def test_a_crl_names_the_leaves_that_count_no_more(tmp_path: Path) -> None:
    authority = pki.new_authority()
    pair = pki.write_svid(tmp_path, authority, "/api")
    path = pki.write_crl(tmp_path, authority, pair.certificate_chain)
    crl = load_pem_x509_crl(path.read_bytes())
    (leaf,) = load_pem_x509_certificates(pair.certificate_chain.read_bytes())
    assert [entry.serial_number for entry in crl] == [leaf.serial_number]
