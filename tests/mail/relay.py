"""A real SMTP server on loopback that keeps what it is sent."""

import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.patience import most_seconds
from tests.server import free_port

user, password = "shop", "p@ss/word"
accepted = "250 OK"


class Inbox:
    """The messages that a relay took; `answer_recipient` and `answer_text` decide its answers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.messages: list[EmailMessage] = []
        self.recipients: Counter[str] = Counter()
        self.connections: set[Any] = set()
        self.answer_recipient: Callable[[str], str] = lambda _: accepted
        self.answer_text: Callable[[EmailMessage], str] = lambda _: accepted

    async def handle_RCPT(  # noqa: N802 (named so by aiosmtpd)
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        """Accept or refuse a recipient."""
        answer = self.answer_recipient(address)
        if answer == accepted:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(  # noqa: N802 (named so by aiosmtpd)
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        """Keep a message, or refuse it."""
        message = message_from_bytes(envelope.content, policy=policy.default)
        answer = self.answer_text(message)
        if answer == accepted:
            self.messages.append(message)
            self.recipients.update(envelope.rcpt_tos)
            self.connections.add(session.peer)
        return answer


class Relay(Controller):
    """A server that closes the connections of its clients when it stops."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._served: list[SMTP] = []
        super().__init__(*args, **options)

    def factory(self) -> SMTP:
        """Serve a client."""
        self._served.append(super().factory())
        return self._served[-1]

    def stop(self, no_assert: bool = False) -> None:
        """Stop."""
        closed = threading.Event()
        self.loop.call_soon_threadsafe(self._close_all)
        self.loop.call_soon_threadsafe(self.loop.call_later, 0.01, closed.set)
        closed.wait(most_seconds)
        super().stop(no_assert)

    def _close_all(self) -> None:
        for smtp in self._served:
            if smtp.transport is not None:
                smtp.transport.abort()


@contextmanager
def run_relay(
    certified: Path | None = None, scheme: str = "smtp+plain", **more: Any
) -> Iterator[Inbox]:
    """Run a relay; with a certificate it has TLS and takes a login. `more` are aiosmtpd's."""
    inbox = Inbox(free_port())
    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": inbox.port, **more}
    if certified:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certified)
        options["authenticator"] = _authenticate
        if scheme == "smtps":
            options |= {"ssl_context": context, "auth_require_tls": False}
        else:
            options |= {"tls_context": context, "require_starttls": True, "auth_required": True}
    controller = Relay(inbox, **options)
    controller.start()
    try:
        yield inbox
    finally:
        controller.stop()


def _authenticate(_: Any, __: Any, ___: Any, ____: Any, given: Any) -> AuthResult:
    known = (given.login, given.password) == (user.encode(), password.encode())
    return AuthResult(success=known, handled=False)


def certificate(file: Path) -> Path:
    """Write a certificate for 127.0.0.1 and its key, and return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + signed.public_bytes(pem)
    )
    return file
