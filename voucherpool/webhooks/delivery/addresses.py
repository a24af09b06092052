"""Where a webhook may lead: not into the network of this service, unless the operator allows it."""

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from threading import Thread
from typing import NamedTuple

from voucherpool.config.environment import Network
from voucherpool.input import formats
from voucherpool.input.errors import InvalidInput

Resolver = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host, in the order in which to try them; raises OSError."""

ports = {"http": 80, "https": 443}
seconds_to_resolve = 5.0

unicast_ipv6 = ip_network("2000::/3")
special = (
    # `is_global` misses these, or judges them otherwise in some versions of Python.
    *(ip_network(network) for network in ("192.0.0.0/24", "192.88.99.0/24")),
    # Tunnels into IPv4 (Teredo, 6to4), other special uses, and documentation (RFC 6890, RFC 9637).
    *(ip_network(network) for network in ("2001::/23", "2002::/16", "2001:db8::/32", "3fff::/20")),
)


class NameUnknown(Exception):
    """The host has no address."""


class AddressRefused(Exception):
    """The host has an address that is not public, and that the operator has not allowed."""


class Endpoint(NamedTuple):
    """The parts of a webhook's URL; `target` is what stands in the request line."""

    scheme: str
    host: str
    port: int
    target: str


def endpoint_of(url: str) -> Endpoint:
    """Return the parts of a URL that has the form of `formats.http_url`."""
    match = formats.http_url.fullmatch(url)
    if match is None:
        raise ValueError("not a webhook's URL")
    scheme, host, port, rest = match.groups()
    target = rest if rest and rest[0] == "/" else f"/{rest or ''}"
    return Endpoint(scheme, host.strip("[]"), int(port or ports[scheme]), target)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is one of the public internet, by IANA's special-purpose registries.

    IPv6 addresses that stand for IPv4 ones are not.
    """
    if any(address in network for network in special):
        return False
    if address.version == 6:
        return address in unicast_ipv6
    return address.is_global and not address.is_multicast


def resolved(host: str, port: int) -> list[str]:
    """Return the addresses of a host that the system's resolver knows. Raises OSError."""
    found = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True)
class Policy:
    """Which addresses webhooks may have: public ones, and those in the `allowed` networks."""

    allowed: Sequence[Network] = ()
    resolve: Resolver = resolved

    def addresses_of(self, host: str, port: int, seconds: float) -> Sequence[str]:
        """Return the addresses of a host; each may be connected to.

        Raises NameUnknown, AddressRefused, and TimeoutError after so many seconds.
        """
        try:
            found = _within(seconds, lambda: self.resolve(host, port))
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise NameUnknown from error
        if not found:
            raise NameUnknown
        if not all(self.permits(address) for address in found):
            raise AddressRefused
        return found

    def permits(self, address: str) -> bool:
        """Tell whether an address may be connected to."""
        parsed = ip_address(address)
        return is_public(parsed) or any(parsed in network for network in self.allowed)

    def require(self, url: str) -> None:
        """Raise InvalidInput unless a URL's host is known and may be connected to."""
        endpoint = endpoint_of(url)
        try:
            self.addresses_of(endpoint.host, endpoint.port, seconds_to_resolve)
        except AddressRefused as error:
            raise InvalidInput({"url": [refused]}) from error
        except (NameUnknown, TimeoutError) as error:
            raise InvalidInput({"url": [unknown]}) from error


refused = (
    "Must not lead to a private or reserved address that VOUCHERPOOL_WEBHOOKS_ALLOW does not name."
)
unknown = "Must have a host whose name can be resolved."


def _within(seconds: float, call: Callable[[], Sequence[str]]) -> Sequence[str]:
    """Return what the call returns; raise TimeoutError if that takes longer.

    The system's resolver has no timeout of its own; a late answer is dropped.
    """
    future: Future[Sequence[str]] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 (raised in the thread that waits)
            future.set_exception(error)

    Thread(target=run, name="resolver", daemon=True).start()
    return future.result(seconds)
