"""nginx: its stream module, which knows DNS names and no SPIFFE IDs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from bench.programs import find, version_of
from bench.proxies.proxy import GROUP, PATIENCE, Proxy
from bench.unmeasured import Unmeasured

if TYPE_CHECKING:
    from bench.proxies.proxy import Command, Site


class Nginx(Proxy):
    """nginx from the distribution."""

    name = "nginx"
    checks = "DNS name, of the server only"

    def version(self) -> str:
        stream_module()
        return version_of(find("nginx"), "-v")

    def client(self, site: Site) -> Command:
        own, peer = site.certificates.client, site.certificates.server
        reuse = "on" if site.setting.resumption else "off"
        block = f"""
            listen 127.0.0.1:{site.entry} backlog=4096;
            proxy_pass 127.0.0.1:{site.dialled};
            proxy_ssl on;
            proxy_ssl_protocols TLSv1.3;
            proxy_ssl_conf_command Groups {GROUP};
            proxy_ssl_session_reuse {reuse};
            proxy_ssl_certificate {own.chain};
            proxy_ssl_certificate_key {own.key};
            proxy_ssl_trusted_certificate {site.certificates.bundle};
            proxy_ssl_verify on;
            proxy_ssl_name {peer.dns};"""
        return _command(site, "client", block)

    def server(self, site: Site) -> Command:
        own = site.certificates.server
        reuse = "on" if site.setting.resumption else "off"
        block = f"""
            listen 127.0.0.1:{site.crossing} ssl backlog=4096;
            proxy_pass 127.0.0.1:{site.application};
            ssl_protocols TLSv1.3;
            ssl_ecdh_curve {GROUP};
            ssl_session_tickets {reuse};
            ssl_certificate {own.chain};
            ssl_certificate_key {own.key};
            ssl_client_certificate {site.certificates.bundle};
            ssl_verify_client on;"""
        return _command(site, "server", block)


def stream_module() -> str:
    """Return the line of nginx.conf that loads the stream module; "" when built in.

    Raises:
        Unmeasured: This nginx has none.
    """
    built = subprocess.run(
        [find("nginx"), "-V"], capture_output=True, text=True, check=False
    ).stderr
    if re.search(r"--with-stream(\s|$)", built):
        return ""
    folder = re.search(r"--modules-path=(\S+)", built)
    module = Path(folder[1] if folder else "", "ngx_stream_module.so")
    if not module.exists():
        raise Unmeasured(
            "nginx has no stream module: apt-get install libnginx-mod-stream"
        )
    return f"load_module {module};"


def _command(site: Site, side: str, block: str) -> Command:
    folder = site.folder / f"nginx-{side}"
    folder.mkdir()
    # A connection carried is two of nginx's; it allocates them all when it starts.
    connections = 2 * site.setting.connections + 64
    text = f"""
        {stream_module()}
        worker_processes 1;
        worker_rlimit_nofile {connections + 64};
        daemon off;
        pid {folder}/nginx.pid;
        error_log stderr error;
        events {{ worker_connections {connections}; }}
        stream {{
            proxy_timeout {PATIENCE};
            server {{ {block}
            }}
        }}"""
    path = site.write(f"nginx-{side}.conf", text)
    return [find("nginx"), "-c", path, "-p", folder, "-e", "stderr"]
