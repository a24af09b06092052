"""The connection to the relay."""

import ssl
from contextlib import suppress
from email.message import EmailMessage
from smtplib import (
    SMTP,
    SMTP_SSL,
    SMTPDataError,
    SMTPException,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
)

from voucherpool.config.mail import Relay
from voucherpool.input.emails import deliverable

timeout_seconds = 20
"""Of each step of SMTP."""


class NotReady(Exception):
    """The relay cannot be reached, has no valid TLS, or refuses the login or the sender."""


class Refused(Exception):
    """The relay refuses a message; `is_final` if it always will."""

    def __init__(self, reason: str, *, is_final: bool) -> None:
        super().__init__(reason)
        self.is_final = is_final


class Connection:
    """A connection to the relay, opened when needed and kept for several messages.

    The texts of its errors name no recipient.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._smtp: SMTP | None = None

    def send(self, message: EmailMessage, recipient: str) -> None:
        """Send a message to one mailbox, whatever its headers say. Raises NotReady and Refused."""
        smtp, address = self._ready(), deliverable(recipient)
        try:
            smtp.send_message(message, to_addrs=[address])
        except SMTPRecipientsRefused as error:
            code, _ = error.recipients[address]
            raise _refused("recipient", code) from None
        except SMTPDataError as error:
            raise _refused("text", error.smtp_code) from None
        except SMTPNotSupportedError:
            raise Refused("no SMTPUTF8 for this recipient", is_final=True) from None
        except (SMTPException, OSError) as error:
            self.close()
            raise NotReady(described(error)) from None

    def close(self) -> None:
        """Say goodbye, if the relay still listens."""
        if self._smtp is not None:
            with suppress(SMTPException, OSError):
                self._smtp.quit()
            self._smtp.close()
        self._smtp = None

    def _ready(self) -> SMTP:
        """Return the kept connection, or a new one if the relay has closed it."""
        try:
            if self._smtp is None or not _is_alive(self._smtp):
                self._smtp = _connect(self._relay)
        except (SMTPException, OSError, ValueError) as error:
            self._smtp = None
            raise NotReady(described(error)) from None
        return self._smtp


def described(error: Exception) -> str:
    """Describe an error by its type and SMTP's code; its own text may name a recipient."""
    return f"{type(error).__name__} {getattr(error, 'smtp_code', '')}".strip()


def _refused(what: str, code: int) -> Refused:
    return Refused(f"{what} refused, {code}", is_final=code >= 500)


def _is_alive(smtp: SMTP) -> bool:
    with suppress(SMTPException, OSError):
        return smtp.noop()[0] == 250
    smtp.close()
    return False


def _connect(relay: Relay) -> SMTP:
    address, verified = (relay.host, relay.port), ssl.create_default_context
    if relay.scheme == "smtps":
        smtp: SMTP = SMTP_SSL(*address, timeout=timeout_seconds, context=verified())
    else:
        smtp = SMTP(*address, timeout=timeout_seconds)
    try:
        if relay.scheme == "smtp":
            smtp.starttls(context=verified())
        if relay.user is not None:
            smtp.login(relay.user, relay.password or "")
    except BaseException:
        smtp.close()
        raise
    return smtp
