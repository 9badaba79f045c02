"""`sidecar certs init`: a CA for one trust domain, in a folder."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING

from sidecar.certs.authority import Authority
from sidecar.certs.files import FileExists
from sidecar.certs.folder import Folder, Pair
from sidecar.identity.spiffe_id import SpiffeIdError

if TYPE_CHECKING:
    import argparse


def main(arguments: argparse.Namespace) -> int:
    """Make the CA that *arguments* describe; give the exit status."""
    try:
        authority = Authority.create(
            arguments.trust_domain,
            now=dt.datetime.now(dt.UTC),
            lifetime=arguments.lifetime,
        )
        pair = Folder(arguments.dir).save_authority(authority, replace=arguments.force)
    except SpiffeIdError as error:
        sys.stderr.write(f"--trust-domain: {error}\n")
        return 2
    except FileExists as error:
        sys.stderr.write(f"{error}, and what the old CA signed is worth nothing then\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{arguments.dir}: cannot be written: {error.strerror}\n")
        return 1
    sys.stdout.write(_summary(authority, pair))
    return 0


def _summary(authority: Authority, pair: Pair) -> str:
    end = authority.certificate.not_valid_after_utc
    example = f"spiffe://{authority.trust_domain}/ns/shop/sa/cart"
    return (
        f"a CA for the trust domain {authority.trust_domain}, until {end:%F %R} UTC\n"
        f"  {pair.certificate}  the trust bundle: for every peer\n"
        f"  {pair.key}  the CA's private key: for nobody\n"
        f"next: sidecar certs issue {example} --dir {pair.key.parent}\n"
    )
