"""Reads variables of the environment; a wrong value is an error that names its variable."""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network

from voucherpool.errors import ConfigurationError
from voucherpool.input.times import timezones

Network = IPv4Network | IPv6Network

an_age = "days or years such as 90d or 2y, at most 9999d or 99y"


def parsed_age(text: str) -> timedelta | None:
    """Return how long `90d` or `2y` is, a year being 365 days; None for anything else."""
    if not (match := re.fullmatch("([1-9][0-9]{0,3}(?=d)|[1-9][0-9]?(?=y))([dy])", text)):
        return None
    return timedelta(days=int(match[1]) * {"d": 1, "y": 365}[match[2]])


class Asked(Mapping[str, str]):
    """An environment that keeps in `names` the variables that it was asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Environment:
    """The variables of an environment; each reader raises ConfigurationError for a wrong value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def number(self, variable: str, default: int, most: int = 10**6) -> int:
        """Return a variable's whole number from 1 to `most`."""
        text = self._values.get(variable, "").strip() or str(default)
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
            raise ConfigurationError(variable, f"a whole number from 1 to {most}, not {text!r}")
        return int(text)

    def age(self, variable: str) -> timedelta | None:
        """Return a variable's age, None if it is unset."""
        given = self._values.get(variable, "").strip()
        if given and parsed_age(given) is None:
            raise ConfigurationError(variable, f"{an_age}, not {given!r}")
        return parsed_age(given)

    def host_and_port(self, variable: str) -> tuple[str, int] | None:
        """Return a variable's host and port, None if it is unset."""
        given = self._values.get(variable, "").strip()
        host, _, port = given.rpartition(":")
        if given and not (host and port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
            raise ConfigurationError(variable, f"host:port such as 127.0.0.1:9100, not {given!r}")
        return (host.strip("[]"), int(port)) if given else None

    def secret_keys(self) -> tuple[str, ...]:
        """Return the Fernet keys of VOUCHERPOOL_SECRET_KEY."""
        keys = self.listed("VOUCHERPOOL_SECRET_KEY")
        # 32 bytes in URL-safe Base64 (https://github.com/fernet/spec).
        if not all(re.fullmatch("[0-9A-Za-z_-]{43}=", key) for key in keys):
            expected = "keys that `voucherpool secret-key` prints, separated by commas"
            raise ConfigurationError("VOUCHERPOOL_SECRET_KEY", expected)
        return keys

    def timezone(self) -> str:
        """Return the IANA time zone of VOUCHERPOOL_TIMEZONE."""
        name = self._values.get("VOUCHERPOOL_TIMEZONE", "").strip() or "UTC"
        if name not in timezones():
            expected = f"a time zone of IANA, such as Europe/Berlin, not {name!r}"
            raise ConfigurationError("VOUCHERPOOL_TIMEZONE", expected)
        return name

    def header(self, variable: str) -> str | None:
        """Return the name of a header, None if the variable is unset."""
        name = self._values.get(variable, "").strip()
        if name and not re.fullmatch("[A-Za-z][A-Za-z0-9-]{0,99}", name):
            raise ConfigurationError(
                variable, f"the name of a header, such as X-User, not {name!r}"
            )
        return name or None

    def networks(self, variable: str) -> tuple[Network, ...]:
        """Return the networks that a variable lists."""
        try:
            return tuple(ip_network(text) for text in self.listed(variable))
        except ValueError as error:
            expected = "networks such as 127.0.0.0/8,10.1.0.0/16"
            raise ConfigurationError(variable, f"{expected} ({error})") from None

    def listed(self, variable: str) -> tuple[str, ...]:
        """Return the parts of a variable between commas."""
        parts = self._values.get(variable, "").split(",")
        return tuple(part.strip() for part in parts if part.strip())

    def some_of(self, variable: str, names: Collection[str]) -> frozenset[str]:
        """Return those of the names that a variable lists."""
        given = frozenset(self._values.get(variable, "").replace(",", " ").split())
        if not given <= set(names):
            raise ConfigurationError(variable, f"unset, or some of {', '.join(sorted(names))}")
        return given

    def one_of(self, variable: str, values: tuple[str, str]) -> str:
        """Return which of the two values a variable has, the first if it is unset."""
        value = self._values.get(variable, "") or values[0]
        if value not in values:
            raise ConfigurationError(
                variable, f"{values[1]} or {values[0] or 'unset'}, not {value!r}"
            )
        return value
