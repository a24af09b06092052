"""The batches' requests and answers."""

from typing import Any, Unpack

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from voucherpool.input import formats
from voucherpool.input.fields import Count, Email, Flag, Metadata, Options
from voucherpool.input.schemas import Answer, Request, page_of
from voucherpool.input.times import Expiry, Period, Timestamp
from voucherpool.vouchers import codes
from voucherpool.vouchers.schemas import CodeText, Expiring, most_redemptions

most_vouchers = 5_000_000
states = ("pending", "running", "done", "failed", "cancelled")
most_named = 100  # wrong e-mails named in an error
pool, all_customers = "pool", "all_customers"
email = Email()


class Prefix(CodeText):
    """The beginning of each code of a batch."""

    longest = 32
    form = formats.code_prefix
    expected = "ASCII letters and digits; spaces and dashes may join"


class Pattern(CodeText):
    """The pattern of a batch's codes: each # is a random character, for at least 50 bits."""

    longest = 64
    form = formats.code_pattern
    expected = "ASCII letters, digits, spaces and dashes, with # 10 to 32 times"


class CodePattern(Request):
    """The form of a batch's codes: a length and a prefix, or a pattern."""

    length = Count(least=10, most=32)
    prefix = Prefix()
    pattern = Pattern()

    @validates_schema(skip_on_field_errors=True)
    def pattern_stands_alone(self, data: dict[str, object], **_: object) -> None:
        """Refuse a pattern together with a length or a prefix."""
        if "pattern" in data and len(data) > 1:
            raise ValidationError("Must not be given with length or prefix.", "pattern")

    @post_load
    def to_pattern(self, data: dict[str, Any], **_: object) -> str:
        """Return the pattern that the fields describe: groups of four, after the prefix."""
        groups = codes.in_groups("#" * data.get("length", codes.length))
        prefix = data.get("prefix", "").rstrip(" -")
        parts = [part for part in (prefix, groups) if part]
        return str(data.get("pattern") or "-".join(parts))


class Audience(fields.Field[str | list[str]]):
    """The receivers of the vouchers: the offer's pool, all customers, or a list of e-mails.

    The list has at most so many e-mails as `most` says.
    """

    def __init__(self, *, most: int | None = None, **options: Unpack[Options]) -> None:
        item = {"type": "string", "maxLength": 254, "pattern": formats.mailbox.pattern}
        people = {"type": "array", "items": item, "minItems": 1}
        people |= {"maxItems": most} if most else {}
        self.most = most
        words = {"type": "string", "enum": [pool, all_customers]}
        super().__init__(metadata={"oneOf": [words, people]}, **options)

    def _deserialize(self, value: object, *_: object, **__: object) -> str | list[str]:
        if isinstance(value, list) and value:
            if self.most and len(value) > self.most:
                raise ValidationError(f"Must have at most {self.most} e-mails.")
            return _emails(value)
        if not isinstance(value, str) or value not in (pool, all_customers):
            raise ValidationError(f"Must be {pool}, {all_customers}, or a list of e-mails.")
        return value


def _emails(items: list[object]) -> list[str]:
    """Return the e-mails; raise ValidationError with the first wrong ones."""
    emails, wrong = [], {}
    for place, item in enumerate(items):
        try:
            emails.append(email.deserialize(item))
        except ValidationError as error:
            wrong[place] = error.messages
            if len(wrong) == most_named:
                break
    if wrong:
        raise ValidationError(wrong)
    return emails


class NewBatch(Expiring):
    """Vouchers to issue in bulk.

    `count` is the total for the pool, or the number for each customer (default 1). A batch has at
    most 5 000 000 vouchers. With a null expiry they never expire; with `valid_for` a claim lets a
    voucher expire at the end of a day that much later, if that is earlier. With `notify` each
    voucher is an event, and its customer gets an e-mail.
    """

    count = Count(most=most_vouchers)
    expires_at = Expiry(required=True, allow_none=True)
    pattern = fields.Nested(CodePattern, data_key="code")
    max_redemptions = Count(most=most_redemptions, load_default=1)
    freeze_discount = Flag(load_default=False)
    valid_for = Period()
    audience = Audience(load_default=pool)
    notify = Flag(load_default=False)
    metadata = Metadata()

    @validates_schema(skip_on_field_errors=True)
    def pool_needs_a_count(self, data: dict[str, object], **_: object) -> None:
        """Refuse a batch for the pool without a count."""
        if data["audience"] == pool and "count" not in data:
            raise ValidationError("The pool needs a count.", "count")

    @validates_schema(skip_on_field_errors=True)
    def only_the_pool_is_claimed(self, data: dict[str, object], **_: object) -> None:
        """Refuse a time from the claim on where nothing is claimed."""
        if data["audience"] != pool and "valid_for" in data:
            raise ValidationError("Must not be given unless the audience is the pool.", "valid_for")

    @post_load
    def with_pattern(self, data: dict[str, object], **_: object) -> dict[str, object]:
        """Replace the code's fields by their pattern."""
        return {"count": 1, "pattern": CodePattern().load({}), **data}


class Batch(Answer):
    """A batch and its progress; `rate` is in vouchers per second while it runs."""

    id = fields.Integer()
    offer_id = fields.Integer()
    state = fields.String(validate=validate.OneOf(states))
    requested = fields.Integer()
    created = fields.Integer()
    rate = fields.Integer(allow_none=True)
    valid_for = fields.String(allow_none=True)
    notify = fields.Boolean(attribute="announced")
    metadata = Metadata(allow_none=True)
    created_at = Timestamp()
    started_at = Timestamp(allow_none=True)
    finished_at = Timestamp(allow_none=True)
    error = fields.String(allow_none=True)


batches_page = page_of(Batch, "Batches")
