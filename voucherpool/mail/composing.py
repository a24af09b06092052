"""Composes e-mails, and the page that ends them, from templates in several languages."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from email.headerregistry import UniqueAddressHeader
from email.message import EmailMessage
from email.policy import SMTP
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_percent, parse_pattern
from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    select_autoescape,
)
from marshmallow import ValidationError

from voucherpool.config.mail import Mail, Texts
from voucherpool.input.amounts import currency_decimals
from voucherpool.input.emails import deliverable
from voucherpool.input.fields import Email
from voucherpool.input.times import last_day
from voucherpool.mail import links

most_shown = 50
encoding = "quoted-printable"
# Headers as long as RFC 5322 allows (2.1.1): folding would break a link.
policy = SMTP.clone(max_line_length=998)


class Announced(NamedTuple):
    """A voucher that an e-mail names; `starts_at` is set while it or its offer has not begun."""

    code: str
    offer_name: str
    discount: Decimal
    discount_type: str
    currency: str | None
    starts_at: datetime | None
    expires_at: datetime | None


class Letter(NamedTuple):
    """What an e-mail says and to whom; `id` names it in its Message-ID.

    `kind` is `issued` or `expiring`. `language` is the customer's, None for the shop's. It is
    about `total` vouchers, and shows those in `vouchers`. `dated` is the moment of its Date.
    """

    id: uuid.UUID
    kind: str
    customer_id: int
    email: str
    language: str | None
    vouchers: Sequence[Announced]
    total: int
    dated: datetime


class NotAddressable(Exception):
    """The customer's e-mail would be refused today, or a To header with it names others."""


def compose(letter: Letter, mail: Mail, keys: Sequence[str]) -> EmailMessage:
    """Return the e-mail. Raises NotAddressable unless its To names exactly the customer."""
    templates = environment(mail.texts.templates)
    language = _language(letter.language, mail.texts)
    url = links.unsubscribe_url(mail.public_url, keys, letter.customer_id)
    words = {
        "kind": letter.kind,
        "language": language,
        "count": letter.total,
        "more": letter.total - len(letter.vouchers),
        "vouchers": [_shown(voucher, language, mail.texts.timezone) for voucher in letter.vouchers],
        "unsubscribe_url": url,
    }
    subject = templates.get_template(f"{language}.jinja").make_module(words).subject()  # type: ignore[attr-defined]
    message = EmailMessage(policy)
    message["From"] = mail.sender
    message["To"] = _to(letter)
    message["Subject"] = str(subject).strip()
    message["Date"] = letter.dated.astimezone(UTC)
    message["Message-ID"] = f"<{letter.id}@{mail.sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["List-Unsubscribe"] = f"<{url}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["MIME-Version"] = "1.0"
    message.make_alternative()
    for name, subtype in (("mail.txt", "plain"), ("mail.html", "html")):
        part = EmailMessage(SMTP)  # lines of the body stay short (RFC 2045, 6.7)
        part.set_content(templates.get_template(name).render(words), subtype, cte=encoding)
        message.attach(part)
    return message


def _to(letter: Letter) -> UniqueAddressHeader:
    """Return the To header. Raises NotAddressable."""
    try:
        accepted = Email().deserialize(letter.email)
    except ValidationError as error:
        raise NotAddressable from error
    # Python decodes an address that is set as a header, and sends what it has decoded.
    address = deliverable(letter.email)
    header: UniqueAddressHeader = policy.header_factory("To", address)
    named = [each.addr_spec for each in header.addresses]
    if (accepted, named) != (letter.email, [address]):
        raise NotAddressable
    return header


def unsubscribe_page(language: str | None, texts: Texts, *, is_done: bool) -> str:
    """Return the HTML of the page with the button, or of the one after it was pressed."""
    words = {"language": _language(language, texts), "is_done": is_done}
    return environment(texts.templates).get_template("unsubscribe.html").render(words)


@cache
def environment(templates: Path | None) -> Environment:
    """Return the templates: the files of the shop's folder replace ours of the same name."""
    ours = PackageLoader(__name__)
    loaders: list[BaseLoader] = [] if templates is None else [FileSystemLoader(templates)]
    return Environment(
        loader=ChoiceLoader([*loaders, ours]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _language(wanted: str | None, texts: Texts) -> str:
    """Return the wanted language if it has a template, or else the shop's."""
    known = environment(texts.templates).list_templates(extensions=["jinja"])
    return wanted if wanted and f"{wanted}.jinja" in known else texts.language


def _shown(voucher: Announced, language: str, timezone: str) -> dict[str, str | None]:
    """Return a voucher in the language's form of numbers and days.

    Days are the first and the last one on which it works, in the time zone.
    """
    locale = _locale(language)
    if voucher.discount_type == "percentage":
        share = voucher.discount / 100
        discount = format_percent(share, locale=locale, decimal_quantization=False)
    else:
        discount = _amount(voucher.discount, voucher.currency or "", locale)
    day = partial(format_date, format="long", locale=locale)
    begin, end = voucher.starts_at, voucher.expires_at
    return {
        "code": voucher.code,
        "offer_name": voucher.offer_name,
        "discount": discount,
        "starts_on": day(begin.astimezone(ZoneInfo(timezone))) if begin else None,
        "expires_on": day(last_day(end, timezone)) if end else None,
    }


def _amount(amount: Decimal, currency: str, locale: Locale) -> str:
    """Return an amount with the decimals of ISO 4217; those of CLDR round it in 13 currencies."""
    pattern = parse_pattern(locale.currency_formats["standard"].pattern)
    decimals = currency_decimals.get(currency, 2)
    pattern.frac_prec = (decimals, decimals)
    return str(pattern.apply(amount, locale, currency=currency, currency_digits=False))


def _locale(language: str) -> Locale:
    try:
        return Locale(language)
    except UnknownLocaleError:
        return Locale("en")
