"""The texts of e-mails, in several languages and from the shop's own templates."""

import re
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tests.mail.conftest import keys, mail_to
from voucherpool.config.mail import languages
from voucherpool.input.amounts import currency_decimals
from voucherpool.input.times import End
from voucherpool.mail.composing import Announced, Letter, compose, environment

percentage = Announced(
    "AAAA-BBBB",
    "KOI",
    Decimal("22.10"),
    "percentage",
    None,
    None,
    datetime(2027, 4, 21, 23, 59, tzinfo=UTC),
)
amount = Announced(
    "CCCC", "ORCHID", Decimal(5), "fixed_amount", "EUR", None, datetime(2027, 3, 1, tzinfo=UTC)
)


def letter(kind="issued", language=None, vouchers=(percentage, amount), total=2):
    dated = datetime(2027, 2, 1, 8, 30, tzinfo=timezone(timedelta(hours=-5)))
    return Letter(uuid.uuid4(), kind, 1, "ana@example.org", language, vouchers, total, dated)


@pytest.fixture
def composed():
    def run(letter, **texts):
        return compose(letter, mail_to(25, **texts), keys)

    return run


def text_of(message, kind="plain"):
    return message.get_body((kind,)).get_content()


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["22.1%", "€5.00", "April 21, 2027", "Unsubscribe: https://"]),
        ("de", ["22,1 %", "5,00 €", "21. April 2027", "Abmelden: https://"]),
        ("fr", ["22,1 %", "5,00 €", "21 avril 2027", "Se désabonner: https://"]),
        ("es", ["22,1 %", "5,00 €", "21 de abril de 2027", "Darse de baja: https://"]),
    ],
)
@pytest.mark.parametrize("kind", ["issued", "expiring"])
def test_numbers_and_days_have_the_form_of_the_language(composed, kind, language, expected):
    message = composed(letter(kind, language))
    plain = text_of(message).replace("\u00a0", " ").replace("\u202f", " ")
    assert all(part in plain for part in expected)
    assert f'<html lang="{language}">' in text_of(message, "html")


@pytest.mark.parametrize(
    ("timezone", "begin", "end"),
    [
        ("UTC", "from December 1", "through December 31, 2030"),
        ("Europe/Berlin", "from December 2", "through January 1, 2031"),
        ("America/New_York", "from December 1", "through December 31, 2030"),
    ],
)
def test_a_voucher_is_announced_with_the_days_on_which_it_works_in_the_shop(
    composed, timezone, begin, end
):
    window = {"starts_at": datetime(2030, 12, 1, 23, 30, tzinfo=UTC)}
    window["expires_at"] = datetime(2031, 1, 1, tzinfo=UTC)
    told = text_of(composed(letter(vouchers=(percentage._replace(**window),)), timezone=timezone))
    assert f"Valid {begin}, 2030" in told
    assert f"Valid {end}" in told


@pytest.mark.parametrize(
    ("language", "words"),
    [
        *(("en", "Does not expire"), ("de", "Läuft nicht ab")),
        *(("fr", "N’expire pas"), ("es", "No caduca")),
    ],
)
def test_a_voucher_without_expiry_says_so(composed, language, words):
    message = composed(letter("issued", language, (percentage._replace(expires_at=None),)))
    assert words in text_of(message)
    assert words in text_of(message, "html")


def test_the_last_day_is_the_one_that_an_import_gave(composed):
    end = End.of(date(2030, 12, 31), "Europe/Berlin")
    told = letter(vouchers=(amount._replace(expires_at=end),), language="de")
    assert "Gültig bis einschließlich 31. Dezember 2030" in text_of(
        composed(told, timezone="Europe/Berlin")
    )


def test_an_amount_has_the_decimals_of_its_currency(composed):
    """CLDR rounds 99.50 LAK to 100."""
    for currency, decimals in currency_decimals.items():
        value = Decimal("99.5") if decimals else Decimal(99)
        of_currency = amount._replace(discount=value, currency=currency)
        told = text_of(composed(letter(vouchers=(of_currency,))))
        [number] = re.findall(r"(?<![0-9])99(?:\.[0-9]+)?(?![0-9.])", told)
        assert number == f"{value:.{decimals}f}", currency


def test_every_language_has_its_own_words_for_one_and_for_many(composed):
    subjects = [
        composed(letter(kind, language, (percentage,), total))["Subject"]
        for language in languages
        for kind in ("issued", "expiring")
        for total in (1, 2)
    ]
    assert len(set(subjects)) == len(languages) * 4
    assert all(subject and "\n" not in subject for subject in subjects)


def test_an_unknown_language_gets_that_of_the_shop(composed):
    assert composed(letter(language="xx"), language="de")["Subject"] == "2 Gutscheine für Sie"
    assert composed(letter(language="es"), language="de")["Subject"] == "2 vales para usted"


def test_files_of_the_shop_replace_ours_one_by_one(composed, tmp_path):
    words = environment(None).loader.get_source(environment(None), "en.jinja")[0]
    (tmp_path / "it.jinja").write_text(words.replace("vouchers for you", "buoni per te"))
    (tmp_path / "mail.html").write_text("<p>{{ vouchers[0].code }} of MY SHOP</p>")
    message = composed(letter(language="it"), templates=tmp_path)
    assert message["Subject"] == "2 buoni per te"
    assert text_of(message, "html").strip() == "<p>AAAA-BBBB of MY SHOP</p>"
    assert "22,1%" in text_of(message)
    assert composed(letter(language="de"), templates=tmp_path)["Subject"] == "2 Gutscheine für Sie"


def test_no_line_of_an_e_mail_is_too_long_and_the_link_is_whole(composed):
    name = "Ö" * 200
    message = composed(letter(vouchers=(percentage._replace(offer_name=name),), total=1))
    lines = message.as_bytes().split(b"\r\n")
    assert max(map(len, lines)) <= 200
    link = message["List-Unsubscribe"].encode()
    assert b"List-Unsubscribe: " + link in lines


def test_an_e_mail_is_dated_in_utc_when_its_letter_says(composed):
    assert composed(letter())["Date"] == "Mon, 01 Feb 2027 13:30:00 +0000"


@pytest.mark.parametrize("kind", ["issued", "expiring"])
def test_preview_prints_a_sample(app, mail, kind):
    result = app.test_cli_runner().invoke(args=["mail", "preview", kind, "--language", "de"])
    assert result.exit_code == 0
    assert "Subject: 2 " in result.output
    assert "Gültig bis einschließlich" in result.output
    assert "<!doctype html>" in result.output


def test_a_preview_needs_no_settings(app):
    assert app.config["MAIL"] is None
    result = app.test_cli_runner().invoke(args=["mail", "preview", "expiring", "--language", "de"])
    assert result.exit_code == 0
    assert "From: Shop <vouchers@example.org>" in result.output
    assert "Gültig bis einschließlich" in result.output


def test_the_test_command_says_what_happened(app, mail, inbox):
    run = app.test_cli_runner()
    taken = run.invoke(args=["mail", "test", "ana@example.org"])
    assert taken.exit_code == 0
    assert f"smtp+plain://127.0.0.1:{inbox.port} accepted the message <" in taken.output
    assert [message["To"] for message in inbox.messages] == ["ana@example.org"]
    inbox.answer_recipient = lambda _: "550 unknown"
    refused = run.invoke(args=["mail", "test", "ana@example.org"])
    assert refused.exit_code == 1
    assert "did not accept the message: recipient refused, 550." in refused.output
    assert run.invoke(args=["mail", "test", "nobody"]).exit_code == 2


def test_without_settings_the_commands_name_them(app):
    result = app.test_cli_runner().invoke(args=["mail", "test", "ana@example.org"])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "VOUCHERPOOL_SMTP_URL" in result.output
