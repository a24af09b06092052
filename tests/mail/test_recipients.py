"""Whom an e-mail reaches: its customer's mailbox alone, or nobody; seen at a real SMTP server."""

import json
import unicodedata
from email.message import EmailMessage
from smtplib import quoteaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import ana, in_days
from tests.mail.conftest import mail_to
from voucherpool.input import formats
from voucherpool.input.emails import deliverable
from voucherpool.input.fields import Email
from voucherpool.mail.composing import policy
from voucherpool.mail.connection import Connection, Refused

three_strangers = "=?utf-8?q?vic1=40evil=2Eexample=2Cvic2=40evil=2Eexample=2C?=c@x.example"
"""An encoded word (RFC 2047) that stands for two addresses and a comma."""

refused = {
    "an encoded word": three_strangers,
    "its charset and encoding in capitals": three_strangers.replace("utf-8?q", "UTF-8?Q"),
    "it in base64": "=?utf-8?b?dmljQGV2aWwuZXhhbXBsZSw=?=c@x.example",
    "it in Latin-1": "=?iso-8859-1?q?vic=40evil=2Eexample=2C_?=c@x.example",
    "it in UTF-7": "=?utf-7?q?vic+AEA-evil.example+ACw-?=c@x.example",
    "it with a language (RFC 2231)": "=?utf-8*en?q?vic=40evil=2Eexample=2C?=c@x.example",
    "it with a line end": "=?utf-8?q?vic=0D=0ABcc:_vic=40evil=2Eexample?=@x.example",
    "it with an encoded line end": "=?utf-8?q?c=0D=0ABcc=3A_vic=40evil=2Eexample?=@x.example",
    "two of them": "=?utf-8?q?vic=40evil?==?utf-8?q?=2Eexample=2C?=c@x.example",
    "one after a dot": f"c.{three_strangers}",
    "one after a letter": f"c{three_strangers}",
    "one that nothing ends": "=?utf-8?q?vic=40evil.example=2Cc@x.example",
    "one of an unknown encoding": "=?utf-8?x?vic=40evil.example=2C?=c@x.example",
    "one in quotes": '"=?utf-8?q?vic=40evil=2Eexample=2C?="@x.example',
    "two addresses": "vic@evil.example,c@x.example",
    "two with a semicolon": "vic@evil.example;c@x.example",
    "two with a blank": "vic@evil.example c@x.example",
    "a comment": "c(vic@evil.example,)@x.example",
    "a comment at the front": "(c)vic@evil.example",
    "quotes": '"vic@evil.example,"@x.example',
    "quotes with a line end": '"c\r\nBcc: vic@evil.example\r\n"@x.example',
    "an escape": "vic\\@evil.example@x.example",
    "a source route": "@evil.example:c@x.example",
    "angle brackets": "<vic@evil.example>",
    "a display name": "c@x.example <vic@evil.example>",
    "a group": "c:vic@evil.example,vic2@evil.example;",
    "a further header": "c@x.example\r\nBcc: vic@evil.example",
    "a folded line": "c@x.example,\r\n vic@evil.example",
    "a further command": "c@x.example>\nRCPT TO:<vic@evil.example",
    "a line separator": "c@x.example\u2028vic@evil.example",
    "a full-width @ and comma": "vic＠evil.example，c@x.example",
    "a small @ and comma": "vic﹫evil.example﹐c@x.example",
    "a full-width @ in the domain": "c@x.example＠evil.example",
    "a Greek question mark": "vic\u037ec@x.example",
    "an address literal": "c@[127.0.0.1]",
    "a dot at the end": "c@x.example.",
    "a dot at the front": ".c@x.example",
    "two dots": "c..d@x.example",
    "no domain": "vic",
    "a local part that is too long": "c" * 65 + "@x.example",
    "one of too many bytes": "é" * 33 + "@x.example",
}

delivered = {
    "a percent sign": "vic%evil.example@x.example",
    "an exclamation mark": "evil.example!vic@x.example",
    "UTF-7": "vic+AEA-evil.example+ACw-c@x.example",
    "a long local part": "c" * 64 + "@x.example",
    "the characters of a shell": "|$`{c}'&*/#^~@x.example",
    "a dash at the front": "-oQ/tmp@x.example",
    "halves of an encoded word": "?=utf-8=40evil?q?c=@x.example",
    "an encoded word in full width": "＝？utf-8？q？vic=40evil=2Eexample=2C？＝c@x.example",
    "letters of other scripts": "Jürgen.żółć@münchen.example",
    "an emoji": "c😀@x.example",
}


@pytest.fixture
def issue(client):
    """Return a function that asks for a voucher with an e-mail, for a customer who is new."""

    def run(email):
        body = {"email": email, "offer_name": "KOI", "discount": 5, "expiry": in_days(30)}
        more = {"create_customer": True, "notify": True}
        return client.post("/vouchers/generate", json=body | more)

    return run


@pytest.mark.parametrize("email", refused.values(), ids=refused)
def test_an_address_that_names_others_is_refused_at_the_door(issue, sql, email):
    answer = issue(email)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["email"])
    assert sql("SELECT * FROM customers") == []


@pytest.mark.parametrize("email", delivered.values(), ids=delivered)
def test_an_odd_address_reaches_its_own_mailbox_alone(issue, work, inbox, email):
    assert issue(email).status_code == 201
    work()
    assert inbox.recipients == {deliverable(email): 1}
    assert [message["To"] for message in inbox.messages] == [deliverable(email)]


def test_a_relay_without_smtputf8_reaches_an_international_domain(issue, work, relay, states):
    """Only a local part beyond ASCII needs SMTPUTF8 (RFC 6531)."""
    inbox = relay(enable_SMTPUTF8=False)
    issue("Ana@bücher.example")
    work(mail_to(inbox.port))
    assert inbox.recipients == {"Ana@xn--bcher-kva.example": 1}
    issue("jürgen@bücher.example")
    work(mail_to(inbox.port))
    assert states() == [("parked", 1), ("sent", 1)]


# At the door the line end is trimmed.
@pytest.mark.parametrize("email", [*refused.values(), "vic@x.example\r\n"], ids=ascii)
def test_an_address_that_is_stored_already_and_names_others_reaches_nobody(
    issue, work, inbox, states, sql, caplog, email
):
    issue(ana)
    sql("UPDATE customers SET email = :email", email=email)
    work()
    assert (inbox.messages, inbox.recipients) == ([], {})
    assert states() == [("parked", 1)]
    assert "is parked at attempt 1: customer 1 has no valid e-mail" in caplog.text
    assert [it.levelname for it in caplog.records] == ["WARNING"]
    assert email not in caplog.text


def test_a_message_goes_to_one_recipient_whatever_its_headers_say(inbox):
    message = EmailMessage()
    message["From"] = "vouchers@shop.example"
    message["To"] = message["Cc"] = "vic1@evil.example, vic2@evil.example"
    connection = Connection(mail_to(inbox.port).relay)
    connection.send(message, ana)
    assert inbox.recipients == {ana: 1}
    inbox.answer_recipient = lambda _: "550 unknown"
    with pytest.raises(Refused, match="recipient refused, 550"):
        connection.send(message, ana)
    connection.close()


def import_file(client, run, folder):
    client.post("/offers", json={"name": "KOI", "discount": 5})
    text = f"code,email\nKOI-0001,{three_strangers}\n"
    return client.post("/offers/1/imports", data=text, content_type="text/csv").text


def import_file_by_command(client, run, folder):
    client.post("/offers", json={"name": "KOI", "discount": 5})
    (folder / "own.csv").write_text(f"code,email\nKOI-0001,{three_strangers}\n")
    return run("vouchers", "import", str(folder / "own.csv"), "--offer", "KOI")


def seed(client, run, folder):
    (folder / "customers.json").write_text(json.dumps([{"email": three_strangers}]))
    (folder / "offers.json").write_text("[]")
    return run("seed", "--directory", str(folder))


def try_mail(client, run, folder):
    return run("mail", "test", three_strangers)


def issue_by_command(client, run, folder):
    client.post("/offers", json={"name": "KOI", "discount": 5})
    return run("vouchers", "issue", "KOI", "--expiry", in_days(1), "--audience", three_strangers)


def ask(method, path, body=None, **query):
    return lambda client, *_: client.open(path, method=method, json=body, query_string=query).text


to_strangers = {"email": three_strangers}
for_strangers = {"audience": [three_strangers], "count": 1}
ways_in = {
    "a customer": ask("POST", "/customers", to_strangers),
    "a change of a customer": ask("PATCH", "/customers/1", to_strangers),
    "a list of vouchers": ask("GET", "/vouchers", **to_strangers),
    "a list of customers": ask("GET", "/customers", **to_strangers),
    "a list of redemptions": ask("GET", "/redemptions", **to_strangers),
    **{
        name: ask("POST", f"/vouchers/{name}", to_strangers)
        for name in ("generate", "redeem", "validate", "check", "hold", "claim")
    },
    "a batch": ask("POST", "/offers/1/batches", for_strangers),
    "a schedule": ask("POST", "/schedules", for_strangers),
    "an import": import_file,
    "the command of an import": import_file_by_command,
    "the command of a batch": issue_by_command,
    "a seed": seed,
    "the command that tries the settings": try_mail,
}


@pytest.mark.parametrize("way_in", ways_in.values(), ids=ways_in)
def test_an_encoded_word_is_refused_wherever_an_e_mail_enters(
    app, client, make, tmp_path, sql, way_in
):
    make.customer(ana)

    def run(*arguments):
        return app.test_cli_runner().invoke(args=arguments).output

    assert "Must be an e-mail address, such as ana@example.org." in way_in(client, run, tmp_path)
    assert sql("SELECT email FROM customers") == [(ana,)]


words = ("=?utf-8?q?", "=?", "?=", "=40", "=2C", "=", "?", "vic", ".", "%", "!", "'", "é")
odd = st.lists(st.sampled_from(words)).map(lambda some: "".join((*some, "c@x.example")))
letters = st.characters(exclude_categories=["Cs"])  # the default tries them all with a codec
any_accepted = st.from_regex(formats.mailbox, fullmatch=True, alphabet=letters).map(str.strip)


@given(any_accepted | odd.filter(formats.mailbox.fullmatch))
def test_header_and_envelope_name_every_accepted_address_alone(email):
    email = deliverable(email)
    header = policy.header_factory("To", email)
    assert [address.addr_spec for address in header.addresses] == [email]
    assert header.fold(policy=policy.clone(utf8=True)).split("\r\n") == [f"To: {email}", ""]
    assert quoteaddr(email) == f"<{email}>"


def test_every_form_of_a_character_that_separates_addresses_is_refused():
    separators = {*'"(),.:;<>@[\\]'}
    accepted = [
        letter
        for letter in map(chr, range(0x80, 0x110000))
        if unicodedata.normalize("NFKC", letter) in separators
        and (Email.form.match(f"a{letter}b@x.example") or Email.form.match(f"a@x{letter}y.example"))
    ]
    assert accepted == []
