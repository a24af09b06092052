"""The errors of e-mail."""

from voucherpool.errors import Conflict, NotFound


class LinkNotFound(NotFound):
    detail = "This link is incomplete."


class MailNotConfigured(Conflict):
    detail = (
        "E-mail is not configured: set VOUCHERPOOL_SMTP_URL, VOUCHERPOOL_MAIL_FROM,"
        " VOUCHERPOOL_PUBLIC_URL and VOUCHERPOOL_SECRET_KEY."
    )
