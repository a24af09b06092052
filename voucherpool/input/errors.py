"""The errors of input."""

from http import HTTPStatus

from voucherpool.errors import Reasons, Unprocessable, VoucherPoolError


class MalformedJson(VoucherPoolError, status=HTTPStatus.BAD_REQUEST):
    detail = "The body is not well-formed JSON in UTF-8."


class InvalidInput(Unprocessable):
    detail = "Some fields are not valid: `errors` names them and says why."

    def __init__(self, errors: Reasons) -> None:
        super().__init__(errors=errors)

    @classmethod
    def code(cls) -> str:
        """Return the stable name of the error."""
        return "validation_failed"
