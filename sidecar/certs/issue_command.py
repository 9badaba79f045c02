"""`sidecar certs issue`: an SVID for a workload, from the CA of a folder."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING

from sidecar.certs.authority import AuthorityError
from sidecar.certs.files import FileExists
from sidecar.certs.folder import Folder, FolderError, Pair
from sidecar.identity.spiffe_id import SpiffeId, SpiffeIdError

if TYPE_CHECKING:
    import argparse

    from sidecar.identity.svid import Svid


def main(arguments: argparse.Namespace) -> int:
    """Make the SVID that *arguments* describe; give the exit status."""
    try:
        sys.stdout.write(_issue(arguments))
    except SpiffeIdError as error:
        return _failed(f"SPIFFE-ID: {error}", 2)
    except (AuthorityError, FileExists, FolderError) as error:
        return _failed(str(error), 2)
    except OSError as error:
        return _failed(f"{error.filename}: {error.strerror}", 1)
    return 0


def _issue(arguments: argparse.Namespace) -> str:
    spiffe_id = SpiffeId.parse(arguments.spiffe_id)
    folder = Folder(arguments.dir)
    pair = folder.place(arguments.out or spiffe_id.segments[-1])
    svid = folder.load_authority().issue(
        spiffe_id,
        now=dt.datetime.now(dt.UTC),
        lifetime=arguments.lifetime,
        dns=arguments.dns,
    )
    pair.write(svid.chain, svid.private_key, replace=arguments.force)
    return _summary(svid, spiffe_id, pair, folder.authority)


def _summary(svid: Svid, spiffe_id: SpiffeId, pair: Pair, authority: Pair) -> str:
    return (
        f"{spiffe_id}, until {svid.not_valid_after:%F %R} UTC\n"
        f"  {pair.certificate}  the certificate chain\n"
        f"  {pair.key}  its private key\n"
        "next, in sidecar.yaml:\n"
        "  identity:\n"
        f"    certificate_chain: {pair.certificate.resolve()}\n"
        f"    private_key: {pair.key.resolve()}\n"
        "    trust_bundles:\n"
        f"      {spiffe_id.trust_domain}: {authority.certificate.resolve()}\n"
    )


def _failed(message: str, status: int) -> int:
    sys.stderr.write(f"{message}\n")
    return status
