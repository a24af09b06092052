"""Messages on their way through a real SMTP server."""

import re

import pytest
from sqlalchemy import func, select

from tests.builders import ana, ben, in_days
from tests.mail.conftest import keys, mail_to, settings_of, until_idle
from tests.mail.relay import accepted, password, user
from tests.patience import until
from tests.server import at_once
from voucherpool.batches import generating
from voucherpool.config.mail import Relay, Texts
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.events import backoff
from voucherpool.mail import queue, sending
from voucherpool.mail.sending import Sender
from voucherpool.operations import worker as background


@pytest.fixture
def issue(client, make):
    def run(email=ana, **more):
        make.customer(email or ana)
        body = {"email": email, "offer_name": "KOI", "discount": 22.1, "expiry": in_days(30)}
        answer = client.post("/vouchers/generate", json={**body, "notify": True, **more})
        assert answer.status_code == 201
        return answer.json["code"]

    return run


def text_of(message):
    return message.get_body(("plain",)).get_content()


def test_a_customer_gets_one_e_mail_for_the_voucher(issue, work, inbox, states):
    code = issue()
    work()
    [message] = inbox.messages
    assert inbox.recipients == {ana: 1}
    assert (message["To"], message["From"]) == (ana, "Shop <vouchers@shop.example>")
    assert message["Subject"] == "A voucher for you"
    assert message["Auto-Submitted"] == "auto-generated"
    assert re.fullmatch(r"<[0-9a-f-]{36}@shop\.example>", message["Message-ID"])
    assert re.fullmatch(r"<https://shop\.example/unsubscribe/\S+>", message["List-Unsubscribe"])
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for kind in ("plain", "html"):
        content = message.get_body((kind,)).get_content()
        assert code in content
        assert "KOI: " in content
        assert "22.1%" in content
        assert message["List-Unsubscribe"].strip("<>") in content
    work()
    assert len(inbox.messages) == 1
    assert states() == [("sent", 1)]


def test_nobody_gets_an_e_mail_for_a_voucher_without_notify_or_without_a_customer(
    issue, work, inbox, states
):
    issue(notify=False)
    issue(None)
    work()
    assert inbox.messages == []
    assert states() == []


def test_where_mail_is_not_configured_nothing_piles_up(app, issue, states, sql):
    issue()
    with app.app_context():
        assert background.number_events(mail=False)
    assert states() == []
    assert sql("SELECT count(*) FROM numbered_events") == [(1,)]


@pytest.fixture
def work_again(work, sql):
    """Return a function that works once more, as if the messages were due."""

    def run(*mail):
        sql("UPDATE messages SET due_at = now() WHERE state = 'waiting'")
        work(*mail)

    return run


@pytest.fixture
def batch(client, make):
    """Return a function that asks for an announced batch for all customers."""

    def run(count, *emails):
        for email in emails:
            make.customer(email)
        offer = client.post("/offers", json={"name": "BULK", "discount": 5}).json["id"]
        body = {"count": count, "expiry": in_days(30), "audience": "all_customers"}
        answer = client.post(f"/offers/{offer}/batches", json={**body, "notify": True})
        assert answer.status_code == 202

    return run


def test_a_batch_gives_each_customer_one_e_mail_with_all_vouchers(batch, work, inbox, sql, states):
    batch(3, ana, ben)
    work()
    assert inbox.recipients == {ana: 1, ben: 1}
    for message in inbox.messages:
        assert message["Subject"] == "3 vouchers for you"
        bound = "SELECT code FROM vouchers JOIN customers ON customers.id = customer_id"
        codes = sql(f"{bound} WHERE email = :email", email=message["To"])
        assert len(codes) == 3
        assert all(code in text_of(message) for (code,) in codes)
    assert states() == [("sent", 1)] * 2


def test_an_e_mail_waits_until_its_batch_is_finished(
    app, batch, mail, work, inbox, states, monkeypatch
):
    monkeypatch.setattr(generating, "chunk_size", 1)
    batch(2, ana)
    with app.app_context():
        background.add_chunk_to_batch()
        background.number_events(mail=True)
        assert states() == [("waiting", 0)]
        assert not Sender(mail, keys).send_some()
    work()
    [message] = inbox.messages
    assert message["Subject"] == "2 vouchers for you"


def test_many_vouchers_are_counted_and_not_all_shown(batch, work, inbox):
    batch(60, ana)
    work()
    [message] = inbox.messages
    assert message["Subject"] == "60 vouchers for you"
    assert text_of(message).count("Code: ") == 50
    assert "And 10 more." in text_of(message)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE vouchers SET redemption_count = 1, used_at = now()",
        "UPDATE vouchers SET disabled_at = now()",
        "UPDATE vouchers SET expires_at = now()",
        "UPDATE offers SET ends_at = now()",
        "INSERT INTO opt_outs SELECT id FROM customers",
        "UPDATE customers SET email = NULL, email_key = NULL, erased_at = now()",
    ],
)
def test_what_is_of_no_use_when_sent_is_not_announced(issue, work, inbox, sql, states, change):
    issue()
    sql(change)
    work()
    assert inbox.messages == []
    assert states() == [("skipped", 1)]


def test_a_voucher_of_an_offer_that_has_not_begun_is_announced_with_its_first_day(
    issue, work, inbox, sql
):
    issue()
    sql("UPDATE offers SET starts_at = timestamptz '2099-01-02 23:00:00-05'")
    work()
    [message] = inbox.messages
    assert "Valid from January 3, 2099\r\n" in text_of(message)


def levels(caplog):
    return [record.levelname for record in caplog.records]


def test_a_recipient_that_is_refused_for_good_is_parked_with_a_warning(
    issue, work, inbox, states, caplog
):
    inbox.answer_recipient = lambda email: "550 no such user" if email == ana else accepted
    issue(ana)
    issue(ben)
    work()
    assert inbox.recipients == {ben: 1}
    assert states() == [("parked", 1), ("sent", 1)]
    assert levels(caplog) == ["WARNING"]


def test_a_text_that_is_refused_for_good_is_parked_with_a_warning(
    issue, work, inbox, states, caplog
):
    inbox.answer_text = lambda _: "554 looks like spam"
    issue()
    work()
    assert states() == [("parked", 1)]
    assert levels(caplog) == ["WARNING"]


@pytest.mark.parametrize("refused", ["answer_recipient", "answer_text"])
def test_what_is_refused_for_now_is_sent_later_under_the_same_message_id(
    issue, work, work_again, inbox, sql, states, refused
):
    seen = []
    setattr(inbox, refused, lambda it: (seen.append(it), "451 later")[1])
    issue()
    [(begun,)] = sql("SELECT now()")
    work()
    assert states() == [("waiting", 1)]
    waits = "extract(epoch FROM due_at - :begun), extract(epoch FROM due_at - now())"
    [(least, most)] = sql(f"SELECT {waits} FROM messages", begun=begun)
    assert least > 0.7 * backoff.pauses[0]
    assert most < 1.3 * backoff.pauses[0]
    sql("UPDATE messages SET due_at = now() + interval '1 hour'")  # however long this test takes
    setattr(inbox, refused, lambda _: accepted)
    work()
    assert inbox.messages == []  # it is not due
    work_again()
    [message] = inbox.messages
    assert message["Message-ID"] == f"<{sql('SELECT id FROM messages')[0].id}@shop.example>"
    assert states() == [("sent", 2)]


def test_after_the_last_attempt_a_message_is_parked_with_a_warning(
    issue, work_again, inbox, states, caplog
):
    inbox.answer_recipient = lambda _: "451 later"
    issue()
    for _ in range(len(backoff.pauses) + 3):
        work_again()
    assert states() == [("parked", len(backoff.pauses) + 1)]
    assert 4.5 < sum(backoff.pauses) / 86400 < 5.5
    assert set(levels(caplog)) == {"WARNING"}


def test_a_relay_that_is_away_is_left_alone_for_a_while(
    issue, app, inbox, states, monkeypatch, caplog
):
    monkeypatch.setattr(sending, "first_pause_seconds", 60)
    for email in (ana, ben):
        issue(email)
    sender = Sender(mail_to(inbox.port)._replace(relay=Relay("smtp+plain", "127.0.0.1", 1)), keys)
    with app.app_context():
        background.number_events(mail=True)
        assert [sender.send_some() for _ in range(5)] == [True, False, False, False, False]
    assert states() == [("waiting", 0), ("waiting", 1)]
    assert levels(caplog) == ["WARNING"]


def test_a_connection_is_kept_and_opened_again_after_the_relay_closed_it(
    issue, work, work_again, inbox
):
    for email in (ana, ben):
        issue(email)
    work()
    assert len(inbox.connections) == 1
    inbox.answer_recipient = lambda _: "421 going down"
    issue()
    work()
    inbox.answer_recipient = lambda _: accepted
    work_again()
    assert len(inbox.messages) == 3


def test_no_more_leave_than_the_rate_allows(app, issue, work, mail, inbox):
    for email in (ana, ben, "cem@example.org"):
        issue(email)
    with app.app_context():
        background.number_events(mail=True)
        sender = Sender(mail._replace(per_minute=1), keys)
        assert [sender.send_some() for _ in range(50)] == [True] + [False] * 49
        sender.close()
    assert len(inbox.messages) == 1
    work()
    assert len(inbox.messages) == 3


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_tls_and_login(
    issue, work, work_again, mail, relay, certified, monkeypatch, states, scheme, caplog
):
    inbox = relay(certified=certified, scheme=scheme)
    issue()
    secured = mail._replace(relay=Relay(scheme, "127.0.0.1", inbox.port, user, password))
    work(secured)
    assert inbox.messages == []  # nobody has signed the certificate
    assert "SSLCertVerificationError" in caplog.text
    monkeypatch.setenv("SSL_CERT_FILE", str(certified))
    caplog.clear()
    wrong = secured.relay._replace(user="stranger")
    work_again(secured._replace(relay=wrong))
    assert "SMTPAuthenticationError 535" in caplog.text
    work_again(secured)
    assert [message["To"] for message in inbox.messages] == [ana]
    assert states() == [("sent", 3)]


def test_a_relay_without_tls_gets_nothing_if_tls_is_asked_for(issue, work, mail, inbox, caplog):
    issue()
    work(mail._replace(relay=Relay("smtp", "127.0.0.1", inbox.port)))
    assert inbox.messages == []
    assert "SMTPNotSupportedError" in caplog.text


def test_no_line_of_the_log_names_a_recipient(issue, work, inbox, sql, caplog):
    answers = iter(["550 <ana@example.org> unknown", "451 <ana@example.org> later", "421 bye"])
    inbox.answer_recipient = lambda _: next(answers)
    for _ in range(3):
        issue()
    work()
    assert len(caplog.records) >= 3
    assert "ana" not in caplog.text


def test_an_e_mail_waits_with_a_warning_until_the_shop_has_mended_its_templates(
    issue, work, work_again, mail, inbox, states, tmp_path, caplog
):
    (tmp_path / "mail.html").write_text("{{ vouchers[0].colour.name }}")
    issue()
    work(mail._replace(texts=Texts(templates=tmp_path)))
    assert states() == [("waiting", 1)]
    assert levels(caplog) == ["WARNING"]
    assert "has no attribute 'colour'" in caplog.text
    work_again()
    assert inbox.recipients == {ana: 1}


def test_an_e_mail_is_dated_by_the_clock_of_postgresql(app, issue):
    issue()
    with app.app_context():
        background.number_events(mail=True)
        with transaction():
            letter = queue.letter(queue.lease())
            assert letter.dated == db.session.scalar(select(func.now()))


@pytest.fixture
def lossy(sql):
    """Let PostgreSQL end the connection of every other commit that changes a message."""
    sql(
        """
        CREATE SEQUENCE commits;
        CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('commits') % 2 = 1 THEN
                PERFORM pg_terminate_backend(pg_backend_pid());
            END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER lose AFTER UPDATE ON messages DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION lose()"""
    )
    yield
    sql("DROP TRIGGER lose ON messages; DROP FUNCTION lose; DROP SEQUENCE commits")


@pytest.mark.one_machine("a cluster has no such triggers")
@pytest.mark.usefixtures("lossy")
def test_in_a_storm_of_lost_connections_each_e_mail_is_sent_once_and_nothing_is_an_error(
    app, issue, mail, inbox, sql, states, caplog
):
    emails = [f"c{number}@example.org" for number in range(6)]
    for email in emails:
        issue(email)
    sender = Sender(mail, keys)
    with app.app_context():
        background.number_events(mail=True)
        for _ in range(3 * len(emails)):
            background.attempt("mail", sender.send_some, lambda: False)
        sender.close()
    assert inbox.recipients == dict.fromkeys(emails, 1)
    assert states() == [("sent", 1)] * len(emails)
    assert set(levels(caplog)) == {"WARNING"}


def test_an_offers_name_is_text_and_no_markup(issue, work, inbox):
    issue(offer_name="<b>KOI & Öl</b>")
    work()
    [message] = inbox.messages
    assert "<b>KOI & Öl</b>: 22.1%" in text_of(message)
    assert "&lt;b&gt;KOI &amp; Öl&lt;/b&gt;" in message.get_body(("html",)).get_content()


def test_a_message_that_is_being_sent_is_due_again_only_after_five_minutes(app, issue, sql):
    issue()
    with app.app_context():
        background.number_events(mail=True)
        with transaction():
            assert queue.lease() is not None
        with transaction():
            assert queue.lease() is None
        sql("UPDATE messages SET due_at = now()")
        with transaction():
            assert queue.lease().attempts == 2


def test_several_workers_send_each_message_once(app, issue, mail, inbox, states):
    emails = [f"c{number}@example.org" for number in range(20)]
    for email in emails:
        issue(email)

    def work(_):
        sender = Sender(mail, keys)
        with app.app_context():
            until_idle(lambda: background.number_events(mail=True))
            until_idle(sender.send_some)
            sender.close()

    at_once(4, work)
    assert inbox.recipients == dict.fromkeys(emails, 1)
    assert states() == [("sent", 1)] * len(emails)


@pytest.fixture
def issue_and_number(app, issue):
    """Return a function that issues a voucher; its e-mail is ready before a worker first looks."""

    def run():
        issue()
        with app.app_context():
            background.number_events(mail=True)

    return run


def test_a_worker_killed_between_the_servers_answer_and_the_commit_sends_again(
    voucherpool, issue_and_number, environ, inbox, work_again, states
):
    issue_and_number()
    worker = voucherpool("worker", **environ)

    def kill(_):
        worker.kill()
        worker.wait()
        return accepted

    inbox.answer_text = kill
    until(lambda: inbox.messages)
    assert states() == [("waiting", 1)]
    inbox.answer_text = lambda _: accepted
    work_again()
    assert states() == [("sent", 2)]
    first, second = inbox.messages
    assert first["Message-ID"] == second["Message-ID"]


def test_a_worker_sends_over_starttls_with_a_login(
    voucherpool, issue_and_number, relay, certified, states
):
    inbox = relay(certified=certified, scheme="smtp")
    issue_and_number()
    url = f"smtp://{user}:{password.replace('@', '%40').replace('/', '%2F')}@127.0.0.1:{inbox.port}"
    voucherpool("worker", SSL_CERT_FILE=str(certified), **settings_of(url))
    until(lambda: states() == [("sent", 1)])
    assert inbox.recipients == {ana: 1}
