"""Visitors: the people who type codes. Failed attempts count for them."""

from typing import NamedTuple

from voucherpool.apikeys.errors import TooManyFailedAttempts
from voucherpool.apikeys.failed_attempts import Subject
from voucherpool.customers import service
from voucherpool.http import throttle
from voucherpool.http.routes import Fields
from voucherpool.input.emails import email_key


class Visitor(NamedTuple):
    """Who makes an attempt: the shop's name for them, and their e-mail, as far as it is given.

    A `client_ref` is trusted more than an e-mail, which anybody can type: with one, failed attempts
    count for it alone, so nobody can spend those of another. Without one they count for a known
    customer's e-mail. All others, guests too, share those of the API key.
    """

    client_ref: str | None
    email: str | None

    def admit(self) -> None:
        """Raise TooManyFailedAttempts if the visitor has none left."""
        if throttle.refuses_nobody():
            return
        if self.client_ref is not None:
            throttle.refuse_if_over(throttle.of_client_ref(self.client_ref))
            return
        if self.email is not None:
            throttle.refuse_if_over(throttle.of_customer(self.email))
        left = throttle.seconds_left(throttle.of_api_key())
        # Asked only then, so that a good attempt takes no round trip for it.
        if left and not (self.email is not None and service.is_known(self.email)):
            raise TooManyFailedAttempts(left)

    def count_failure(self) -> None:
        """Count a failed attempt, in the open transaction."""
        throttle.count(self._subject())

    def _subject(self) -> Subject:
        if self.client_ref is not None:
            return throttle.of_client_ref(self.client_ref)
        # Locked, so that an erasure meanwhile also finds what is counted here.
        if self.email is not None and service.lock_against_erasure({email_key(self.email)}):
            return throttle.of_customer(self.email)
        return throttle.of_api_key()


def visitor(body: Fields) -> Visitor:
    """Take the visitor out of a request's body; it keeps the e-mail."""
    return Visitor(body.pop("client_ref", None), body["email"])
