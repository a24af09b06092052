"""One request to a webhook: what counts as delivered, and what each failure is called."""

import datetime
import socket
import ssl
from contextlib import closing, contextmanager
from ipaddress import ip_network
from threading import Event, Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.patience import most_seconds
from tests.server import free_port
from tests.webhooks.conftest import policy
from tests.webhooks.receiving import receiving
from voucherpool.webhooks.delivery import sending
from voucherpool.webhooks.delivery.addresses import Policy
from voucherpool.webhooks.delivery.sending import post


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((200, None), (201, None), (204, None)),
        *((301, "redirected"), (302, "redirected"), (307, "redirected"), (308, "redirected")),
        *((400, "rejected"), (401, "rejected"), (429, "rejected"), (500, "rejected")),
        *((503, "rejected"), (410, "gone")),
    ],
)
def test_only_a_2xx_is_a_success_and_no_redirect_is_followed(
    receiver, other_receiver, status, error
):
    receiver.statuses = [status]
    receiver.headers = {"Location": other_receiver.url}
    assert post(policy, receiver.url, {}, "{}") == (status, error)
    assert receiver.next().path == "/hook?token=t"
    assert (receiver.all(), other_receiver.all()) == ([], [])


@contextmanager
def answering(*parts, pause=0.0):
    """Run a server that answers with the parts, with a pause after each, and return its URL."""
    ended = Event()

    def serve():
        with closing(listener), closing(listener.accept()[0]) as connection:
            connection.recv(65536)
            for part in parts:
                try:
                    connection.sendall(part)
                except OSError:
                    return
                if ended.wait(pause):
                    return

    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(most_seconds)
    thread = Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        ended.set()
        thread.join()


drop_by_drop = [bytes([letter]) for letter in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000]


@pytest.mark.parametrize(
    ("parts", "pause"),
    [
        ([b"", b""], most_seconds),
        (drop_by_drop, 0.1),
        ([b"HTTP/1.1 200 OK\r\n"], most_seconds),
    ],
)
def test_a_server_that_answers_slowly_is_left_when_the_time_is_over(hurry, parts, pause):
    with answering(*parts, pause=pause) as url:
        assert post(policy, url, {}, "{}") == (None, "timeout")


def test_a_body_that_never_ends_is_not_waited_for(monkeypatch):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    for seconds in (0.5, 2, 8, 32):  # a busy machine needs more for the head
        monkeypatch.setattr(sending, "seconds_in_all", seconds)
        with answering(head, b"x", pause=most_seconds) as url:
            if (outcome := post(policy, url, {}, "{}")) == (200, None):
                return
    raise AssertionError(outcome)


bad_chunks = (
    b"-5\r\nabc",
    b"3\r\nabc\r\n-1\r\n",
    b"zz\r\n",
    b"F" * 70_000,
    b"0\r\n" + b"X: y\r\n" * 200,
)


@pytest.mark.parametrize("chunks", bad_chunks)
@pytest.mark.parametrize(("status", "error"), [(200, None), (500, "rejected"), (410, "gone")])
def test_the_status_counts_whatever_is_wrong_with_the_body(status, error, chunks):
    head = b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n" % status
    with answering(head + chunks) as url:
        assert post(policy, url, {}, "{}") == (status, error)


absurd_headers = (
    *(b"Content-Length: -5", b"Content-Length: " + b"9" * 5000, b"Content-Length: \xb2"),
    *(b": x", b" folded", b"\x00: \xff", b"From nobody", b"X: =?utf-8?q?=00?=", b"A" * 60_000),
    *(b"Content-Type: message/rfc822", b"Content-Type: multipart/mixed; boundary=x"),
)


@pytest.mark.parametrize("header", absurd_headers, ids=lambda it: it[:24])
def test_absurd_headers_change_nothing(header):
    with answering(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\nabc") as url:
        assert post(policy, url, {}, "{}") == (200, None)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "connection_failed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "answer_malformed"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, "answer_malformed"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "answer_malformed"),
        (b"HTTP/1.1 abc\r\n\r\n", "answer_malformed"),
    ],
)
def test_what_is_no_answer_is_a_failure(answer, error):
    with answering(answer) as url:
        assert post(policy, url, {}, "{}") == (None, error)


def test_no_more_is_read_than_a_head_and_a_little_of_the_body():
    class Counting(sending.Stream):
        count = 0

        def readinto(self, buffer):
            received = super().readinto(buffer)
            Counting.count += received
            return received

    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with answering(head + b"x" * 10_000_000) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "Stream", Counting)
        assert post(policy, url, {}, "{}") == (200, None)
    assert 0 < Counting.count <= sending.most_of_answer


def test_nobody_who_listens_is_a_refused_connection():
    url = f"http://127.0.0.1:{free_port()}/"
    assert post(policy, url, {}, "{}") == (None, "connection_refused")


def test_the_next_address_is_tried_when_one_cannot_be_reached(receiver):
    either = Policy((ip_network("127.0.0.0/8"), ip_network("::1")), lambda *_: ["::1", "127.0.0.1"])
    assert post(either, receiver.url, {}, "{}") == (200, None)


def test_a_name_that_nobody_knows_is_a_failure():
    def resolve(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    for unknown in (resolve, lambda *_: []):
        outcome = post(Policy((), unknown), "http://hook.example/", {}, "{}")
        assert outcome == (None, "name_unknown")


def test_a_resolver_that_breaks_is_not_waited_for():
    def resolve(host, port):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        post(Policy((), resolve), "http://hook.example/", {}, "{}")


def test_a_resolver_that_hangs_is_left_when_the_time_is_over(hurry):
    ended = Event()
    slow = Policy((), lambda *_: ended.wait(most_seconds) and [])
    assert post(slow, "http://hook.example/", {}, "{}") == (None, "timeout")
    ended.set()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Return the file of a key and a certificate for hook.example that signs itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hook.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hook.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    plain = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, plain[1], plain[0]) + made.public_bytes(pem))
    return file


@pytest.fixture
def tls_receiver(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with receiving(lambda raw: context.wrap_socket(raw, server_side=True)) as receiver:
        yield receiver


@pytest.fixture
def trusted(certificate, monkeypatch):
    """Trust the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    sending.trust.cache_clear()
    yield
    sending.trust.cache_clear()


local = Policy((ip_network("127.0.0.0/8"),), lambda *_: ["127.0.0.1"])


def test_tls_verifies_the_name_of_the_host(tls_receiver, trusted):
    here, other = (f"https://{name}:{tls_receiver.port}/" for name in ("hook.example", "b.example"))
    assert post(local, other, {}, "{}") == (None, "tls_failed")
    assert post(local, here, {}, "{}") == (200, None)
    [request] = tls_receiver.all()
    assert request.headers["Host"] == f"hook.example:{tls_receiver.port}"


def test_a_certificate_that_nobody_vouches_for_is_a_failure(tls_receiver):
    url = f"https://hook.example:{tls_receiver.port}/"
    assert post(local, url, {}, "{}") == (None, "tls_failed")
    assert tls_receiver.all() == []


def test_a_handshake_drop_by_drop_is_left_when_the_time_is_over(hurry):
    parts = [bytes([letter]) for letter in b"\x16\x03\x03\x40\x00" + b"\x02" * 1000]
    with answering(*parts, pause=0.1) as url:
        outcome = post(policy, url.replace("http", "https"), {}, "{}")
    assert outcome == (None, "timeout")
