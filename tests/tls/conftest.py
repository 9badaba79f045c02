"""Who signs, and who is who: one mesh for all tests of `sidecar.tls`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.certs.authority import Authority
from tests.tls.peers import API, NOW, credentials, issue

if TYPE_CHECKING:
    from sidecar.identity.svid import Svid
    from sidecar.tls.credentials import Credentials


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.create("example.org", now=NOW)


@pytest.fixture(scope="session")
def partner() -> Authority:
    return Authority.create("partner.test", now=NOW)


@pytest.fixture(scope="session")
def cart(authority: Authority) -> Svid:
    return issue(authority)


@pytest.fixture(scope="session")
def api(authority: Authority) -> Svid:
    return issue(authority, API)


@pytest.fixture(scope="session")
def ours(authority: Authority, partner: Authority) -> Credentials:
    """The api's, which trusts both authorities."""
    return credentials(authority, partner)
