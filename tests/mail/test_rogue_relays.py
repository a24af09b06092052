"""SMTP servers that close the connection, or that answer what is no SMTP."""

import socketserver
import threading

import pytest

from tests.builders import ana, in_days
from tests.mail.conftest import keys
from voucherpool.config.mail import Relay
from voucherpool.mail.sending import Sender
from voucherpool.operations import worker

good = {
    "CONNECT": b"220 relay\r\n",
    "EHLO": b"250-relay\r\n250 AUTH CRAM-MD5\r\n",
    "AUTH": b"334 PDFAcmVsYXk+\r\n",
    "RESPONSE": b"235 hello\r\n",
    "MAIL": b"250 OK\r\n",
    "RCPT": b"250 OK\r\n",
    "DATA": b"354 go on\r\n",
    "TEXT": b"250 OK\r\n",
}
"""What a relay answers to the steps of a message, first step first."""

faults = {
    **{f"closes at {step}": {step: b""} for step in good},
    **{f"babbles at {step}": {step: b"\xff\0 what?\r\n"} for step in good},
    **{f"goes away at {step}": {step: b"421 bye\r\n"} for step in good},
    "never ends its line": {"CONNECT": b"220-" + b"x" * 100_000},
    "has no base64": {"AUTH": b"334 x\r\n"},
}


class Answering(socketserver.StreamRequestHandler):
    """Answers each step in turn, and closes the connection after a wrong answer."""

    def handle(self):
        for step, answer in good.items():
            self._read(step)
            self.wfile.write(self.server.faults.get(step, answer))
            if step in self.server.faults:
                return

    def _read(self, step):
        while step != "CONNECT" and (line := self.rfile.readline()):
            if step != "TEXT" or line == b".\r\n":
                return


@pytest.fixture
def rogue(request):
    """Run a relay with a fault and return its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as server:
        server.faults = request.param
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def send(app, client, make, mail, rogue):
    """Return a function that sends an e-mail to the relay, once."""
    make.customer()
    body = {"email": ana, "offer_name": "KOI", "discount": 5, "expiry": in_days(30)}
    assert client.post("/vouchers/generate", json=body | {"notify": True}).status_code == 201
    relay = Relay("smtp+plain", "127.0.0.1", rogue, "shop", "password")

    def run():
        sender = Sender(mail._replace(relay=relay), keys)
        with app.app_context():
            worker.number_events(mail=True)
            worker.attempt("mail", sender.send_some, lambda: False)
            sender.close()

    return run


@pytest.mark.parametrize("rogue", faults.values(), ids=faults, indirect=True)
def test_a_message_that_a_relay_does_not_take_waits_with_a_warning(send, states, caplog):
    send()
    assert states() == [("waiting", 1)]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert ana not in caplog.text


@pytest.mark.parametrize("rogue", [{}], ids=["no fault"], indirect=True)
def test_a_relay_without_a_fault_takes_it(send, states):
    send()
    assert states() == [("sent", 1)]
