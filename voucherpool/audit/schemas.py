"""The requests and answers about the audit log."""

from marshmallow import ValidationError, fields, validate, validates_schema

from voucherpool.audit.actions import actions, subjects
from voucherpool.input.fields import Cursor, Digits, Text
from voucherpool.input.schemas import Answer, FileExport, PageRequest, Query, Span, page_of
from voucherpool.input.times import End, Moment, Timestamp


class Reason(Text):
    """Why somebody does what they do, in a line; without personal data."""

    longest = 500


class Filters(Span, Query):
    """The entries to show: those from `from` on and before `to`, and with these values."""

    action = fields.String(validate=validate.OneOf(actions))
    subject = fields.String(validate=validate.OneOf(subjects))
    subject_id = Text()
    actor = Text()
    api_key_id = Digits(validate=validate.Range(0, 10**18 - 1))
    since = Moment("from")
    until = End("to")

    @validates_schema(skip_on_field_errors=True)
    def an_id_needs_a_subject(self, data: dict[str, object], **_: object) -> None:
        """Refuse the id of nothing, and a code, which would end up in the logs of proxies."""
        if "subject_id" in data and data.get("subject") in (None, "voucher"):
            reason = "Name its subject, unless that is a voucher: look its code up instead."
            raise ValidationError(reason, "subject_id")


class EntriesExport(FileExport, Filters):
    """The entries to export; with `bom`, for Excel, after a byte order mark."""


class EntriesRequest(PageRequest, Filters):
    """The entries to list, and the page."""

    cursor = Cursor(Timestamp(), Digits())


class AuditEntry(Answer):
    """An administrative write; `before` and `after` hold the fields that changed.

    `before` is null for what is new, `after` for what is gone.
    """

    id = fields.Integer()
    created_at = Timestamp()
    api_key_id = fields.Integer(allow_none=True)
    api_key = fields.String(allow_none=True)
    actor = fields.String(allow_none=True)
    request_id = fields.String(allow_none=True)
    action = fields.String()
    subject = fields.String()
    subject_id = fields.String()
    before = fields.Dict(allow_none=True)
    after = fields.Dict(allow_none=True)
    reason = fields.String(allow_none=True)


entries_page = page_of(AuditEntry, "AuditEntries", Timestamp(), Digits())
