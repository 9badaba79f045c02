"""What a rule about a certificate is.

The rules of the X509-SVID standard are tables, `leaf_rules` and `signer_rules`, so
that the handshake, which stops at the first broken one, and `sidecar certs show`,
which explains them all, cannot differ. What takes more than the certificate itself
is in neither: the path to a root, validity and revocation are RFC 5280's, and
OpenSSL's to check (X509-SVID 5.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from sidecar.identity.facts import Facts
from sidecar.identity.reading import SvidError

Check: TypeAlias = Callable[[Facts], str | None]


@frozen
class Rule:
    """One rule of a standard.

    Attributes:
        code: Its name, stable: ``key-usage-critical``.
        clause: Where it stands: ``X509-SVID 4.3``.
        text: What has to hold.
        found: What the certificate has instead, or None if the rule holds. It
            raises `SvidError` where the certificate cannot be parsed.
    """

    code: str
    clause: str
    text: str
    found: Check

    def check(self, facts: Facts) -> None:
        """Return if the rule holds.

        Raises:
            SvidError: It is broken, or what it asks for cannot be parsed.
        """
        found = self.found(facts)
        if found is not None:
            raise SvidError(self.code, self.clause, f"{self.text}, got {found}")


def rule(code: str, clause: str, text: str) -> Callable[[Check], Rule]:
    """Make a rule of the function that finds it broken."""
    return lambda found: Rule(code, clause, text, found)
