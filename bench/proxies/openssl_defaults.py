"""What programs leave to OpenSSL's own configuration, set there for one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bench.proxies.proxy import Command, Site

_CONFIGURATION: Final = """\
openssl_conf = main
[main]
ssl_conf = tls
[tls]
system_default = defaults
[defaults]
{setting}
"""


def with_default(site: Site, setting: str, command: Command) -> Command:
    """Return *command* in an environment with *setting* (SSL_CONF_cmd(3))."""
    text = _CONFIGURATION.format(setting=setting)
    path = site.write("openssl.cnf", text)
    return ["env", f"OPENSSL_CONF={path}", *command]
