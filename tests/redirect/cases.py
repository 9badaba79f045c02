"""Named sets of options, and named packets, for the golden files."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import frozen

from sidecar.redirect import rules
from sidecar.redirect.model import Family, InboundMode

if TYPE_CHECKING:
    from sidecar.redirect.model import Redirect
    from sidecar.redirect.rules import Rule

OPTIONS: dict[str, dict[str, str]] = {
    "default": {},
    "listeners-elsewhere": {"inbound_port": "4143", "outbound_port": "4140"},
    "another-user": {"proxy_uid": "2102", "proxy_gid": "2103"},
    "health-on-several-ports": {"health_ports": "15020,15021,15090"},
    "excluded-ports": {
        "exclude_inbound_ports": "9100, 22,22",
        "exclude_outbound_ports": "53,3306-3310",
    },
    "included-ports": {
        "include_inbound_ports": "8080,8443",
        "include_outbound_ports": "80,443,8000-9000",
        "exclude_outbound_ports": "8081",
    },
    "included-networks": {
        "include_outbound_cidrs": "10.0.0.0/8,192.168.0.0/16,fd00::/8",
        "exclude_outbound_cidrs": "10.1.0.0/16,fd01::/16",
    },
    "included-networks-of-ipv4-alone": {"include_outbound_cidrs": "10.0.0.0/8"},
    "excluded-networks": {
        "exclude_outbound_cidrs": "169.254.169.254,fd00:ec2::254/128"
    },
    "included-ports-and-networks": {
        "include_outbound_ports": "80,443",
        "include_outbound_cidrs": "10.0.0.0/8,fd00::/8",
    },
    "every-network-excluded": {"exclude_outbound_cidrs": "0.0.0.0/0,::/0"},
    "networks-that-iptables-writes-otherwise": {
        "include_outbound_cidrs": "0.0.0.0/0,::/0",
        "exclude_outbound_cidrs": "10.0.0.0/31,10.0.0.9,::1.2.3.4,::10.0.0.0/104,::/1",
    },
    "excluded-interfaces": {"exclude_interfaces": "net1,tun0"},
    "fifteen-ports": {
        "exclude_inbound_ports": ",".join(str(9000 + 2 * n) for n in range(15))
    },
    "sixteen-ports": {
        "exclude_inbound_ports": ",".join(str(9000 + 2 * n) for n in range(16))
    },
    "ranges-count-twice": {
        "include_outbound_ports": ",".join(f"{n}00-{n}50" for n in range(10, 19))
    },
    "tproxy": {"inbound_mode": "tproxy"},
    "tproxy-and-everything-inbound": {
        "inbound_mode": "tproxy",
        "inbound_port": "16006",
        "health_ports": "16020",
        "include_inbound_ports": "8000-8999",
        "exclude_inbound_ports": "8022",
        "exclude_interfaces": "net1",
    },
    "everything": {
        "inbound_port": "16006",
        "outbound_port": "16001",
        "health_ports": "16020",
        "include_inbound_ports": "8000-8999",
        "exclude_inbound_ports": "8022",
        "include_outbound_ports": "1-10000",
        "exclude_outbound_ports": "53",
        "include_outbound_cidrs": "10.0.0.0/8,fd00::/8",
        "exclude_outbound_cidrs": "10.1.0.0/16,fd01::/16",
        "exclude_interfaces": "net1",
        "proxy_uid": "2102",
        "proxy_gid": "2102",
    },
}


@frozen
class Packet:
    """The first packet of a connection, at the hook that it meets.

    `to` is the address in IPv4 and in IPv6; `uid` None came from outside.
    """

    says: str
    to: tuple[str, str]
    port: int
    interface: str
    uid: int | None = None
    gid: int = 0
    protocol: str = "tcp"
    answer: bool = False


POD = ("10.0.0.5", "fd00::5")
PEER = ("10.0.0.6", "fd00::6")
SERVICE = ("10.96.0.10", "fd96::10")
LOOPBACK = ("127.0.0.1", "::1")
APP, PROXY = 1000, 1337

PACKETS: dict[str, Packet] = {
    "app-to-loopback": Packet(
        "the application to itself on 127.0.0.1", LOOPBACK, 8080, "lo", APP
    ),
    "app-to-own-address": Packet(
        "the application to itself on the pod's address", POD, 8080, "lo", APP
    ),
    "app-to-own-service": Packet(
        "the application to itself by a service address", SERVICE, 80, "eth0", APP
    ),
    "own-service-comes-back": Packet(
        "what the service address led back to this pod", POD, 8080, "eth0"
    ),
    "app-to-another-pod": Packet(
        "the application to another pod", PEER, 8080, "eth0", APP
    ),
    "app-as-root-to-another-pod": Packet(
        "an application that is root, to another pod", PEER, 8080, "eth0", 0
    ),
    "app-as-the-proxy-user": Packet(
        "an application with the sidecar's user: it passes by", PEER, 80, "eth0", PROXY
    ),
    "app-in-the-proxy-group": Packet(
        "an application in the sidecar's group: it passes by",
        PEER,
        80,
        "eth0",
        APP,
        PROXY,
    ),
    "app-to-the-outbound-listener": Packet(
        "the application to 15001: there, with no other destination: refused",
        LOOPBACK,
        15001,
        "lo",
        APP,
    ),
    "app-to-the-inbound-listener": Packet(
        "the application to 15006: there, with no other destination: refused",
        POD,
        15006,
        "lo",
        APP,
    ),
    "inbound-leg-to-the-app": Packet(
        "the sidecar to its application, on the pod's address", POD, 8080, "lo", PROXY
    ),
    "outbound-leg-to-another-pod": Packet(
        "the sidecar to another pod", PEER, 8080, "eth0", PROXY, PROXY
    ),
    "another-pod-to-the-app": Packet("another pod to the application", POD, 80, "eth0"),
    "another-pod-to-elsewhere": Packet(
        "another pod to another address, by way of this pod: the kernel drops it",
        SERVICE,
        80,
        "eth0",
    ),
    "another-pod-to-loopback": Packet(
        "another pod to 127.0.0.1 of this one: the kernel drops it",
        LOOPBACK,
        8080,
        "eth0",
    ),
    "another-pod-to-the-inbound-listener": Packet(
        "another pod to 15006: there, with no other destination: refused",
        POD,
        15006,
        "eth0",
    ),
    "another-pod-to-the-outbound-listener": Packet(
        "another pod to 15001: to 15006, and judged as for any port",
        POD,
        15001,
        "eth0",
    ),
    "another-pod-to-the-admin-port": Packet(
        "another pod to 15000: to 15006, and judged as for any port",
        POD,
        15000,
        "eth0",
    ),
    "probe-of-the-sidecar": Packet(
        "a kubelet or Prometheus to 15020: as it is", POD, 15020, "eth0"
    ),
    "udp-out": Packet(
        "a datagram of the application", PEER, 53, "eth0", APP, protocol="udp"
    ),
    "udp-in": Packet("a datagram from another pod", POD, 443, "eth0", protocol="udp"),
}


def rule_for(packet: Packet, redirect: Redirect, family: Family) -> Rule | None:
    """Find the first rule that fits; None where the packet meets none."""
    if packet.protocol != "tcp":  # the jumps into our chains take TCP alone
        return None
    inbound = (
        rules.tproxy if redirect.inbound_mode is InboundMode.TPROXY else rules.inbound
    )
    chain = (inbound if packet.uid is None else rules.outbound)(redirect, family)
    return next((rule for rule in chain if _fits(rule, packet, family)), None)


def _fits(rule: Rule, packet: Packet, family: Family) -> bool:
    address = ip_address(packet.to[family is Family.IPV6])
    interface = rule.in_interface if packet.uid is None else rule.out_interface
    return (
        (rule.destination is None or address in rule.destination)
        and (packet.answer or not rule.answer)
        and not (rule.elsewhere and packet.to in {POD, LOOPBACK})
        and interface in {None, packet.interface}
        and rule.uid in {None, packet.uid}
        and rule.gid in {None, packet.gid}
        and (
            not rule.ports or any(p.first <= packet.port <= p.last for p in rule.ports)
        )
    )
