"""The link that ends e-mails, and what support can do."""

import re

import pytest
from cryptography.fernet import Fernet

from tests.builders import ana, ben
from tests.mail.conftest import keys, shop
from voucherpool.mail import links

one_click = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def link(mail, make):
    """Return the path of Ana's link."""
    make.customer()
    return links.unsubscribe_url(shop, keys, 1).removeprefix(shop)


def opted_out(sql):
    return [customer_id for (customer_id,) in sql("SELECT customer_id FROM opt_outs")]


def test_one_click_ends_e_mails_and_a_repeat_answers_alike(anonymous, link, sql):
    first, second = (anonymous.post(link, data=one_click) for _ in range(2))
    assert (first.status_code, first.mimetype) == (200, "text/html")
    assert "no more voucher e-mails" in first.text
    assert (second.status_code, second.data) == (first.status_code, first.data)
    assert opted_out(sql) == [1]
    assert "Set-Cookie" not in first.headers


def test_get_shows_a_button_and_changes_nothing(anonymous, link, sql):
    page = anonymous.get(link)
    assert page.status_code == 200
    assert '<form method="post">' in page.text
    assert "<button>Unsubscribe</button>" in page.text
    assert "script" not in page.text
    assert ana not in page.text
    assert opted_out(sql) == []
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert page.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("language", "word"), [("de", "Abmelden"), ("fr", "Se désabonner"), ("xx", "Unsubscribe")]
)
def test_the_page_speaks_the_customers_language(anonymous, link, sql, language, word):
    sql("UPDATE customers SET language = :language", language=language)
    assert f"<button>{word}</button>" in anonymous.get(link).text


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_forged_link_is_404(anonymous, link, sql, method):
    token = link.removeprefix("/unsubscribe/")
    payload, signature = token.split(".")
    other = links.unsubscribe_url("", [Fernet.generate_key().decode()], 1)
    of_ben = links.unsubscribe_url("", keys, 2).removeprefix("/unsubscribe/").split(".")[0]
    forged = (
        *(payload, f"{payload}.", f".{signature}", f"{payload}.{signature[:-1]}", "1", "x.y"),
        *(f"{of_ben}.{signature}", other.removeprefix("/unsubscribe/"), "%00.%ff"),
    )
    for wrong in forged:
        answer = getattr(anonymous, method)(f"/unsubscribe/{wrong}")
        assert (answer.status_code, answer.json["code"]) == (404, "link_not_found"), wrong
    assert opted_out(sql) == []


def test_links_hold_no_e_mail_and_outlive_a_new_key(app, anonymous, link, sql, monkeypatch):
    assert re.fullmatch(r"/unsubscribe/[\w-]{2,20}\.[\w-]{43}", link)
    monkeypatch.setitem(app.config, "SECRET_KEYS", (Fernet.generate_key().decode(), *keys))
    assert anonymous.post(link).status_code == 200
    monkeypatch.setitem(app.config, "SECRET_KEYS", ())
    assert anonymous.post(link).status_code == 404


def test_a_link_of_a_customer_who_was_erased_leaves_nothing(anonymous, client, link, sql):
    assert client.delete("/customers/1").status_code == 204
    assert anonymous.post(link).status_code == 200
    assert opted_out(sql) == []


def test_the_log_shows_the_rule_and_no_token(app, anonymous, link, capsys):
    anonymous.post(link)
    logged = capsys.readouterr().err
    assert "/unsubscribe/<string:token>" in logged
    assert link.removeprefix("/unsubscribe/") not in logged


def test_support_ends_and_begins_e_mails(client, make, sql):
    make.customer()
    path = "/customers/1/opt-out"
    assert client.get(path).json == {"opted_out_at": None}
    first, second = (client.put(path) for _ in range(2))
    assert first.status_code == 200
    assert first.json["opted_out_at"]
    assert first.json == second.json == client.get(path).json
    assert client.delete(path).json == {"opted_out_at": None}
    for method in ("get", "put", "delete"):
        assert getattr(client, method)("/customers/9/opt-out").status_code == 404


def test_a_customers_language_is_kept_and_shown(client):
    made = client.post("/customers", json={"email": ben, "language": "de"}).json
    assert made["language"] == "de"
    path = f"/customers/{made['id']}"
    assert client.patch(path, json={"language": "fr"}).json["language"] == "fr"
    assert client.get(path).json["language"] == "fr"
    assert client.patch(path, json={"language": None}).json["language"] is None
    assert client.post("/customers", json={"email": ana}).json["language"] is None
    for wrong in ("DE", "d", "deu", "d1", ""):
        assert client.patch(path, json={"language": wrong}).status_code == 422
