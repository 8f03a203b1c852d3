"""Which requests the demo answers: rules on headers, without Gradio or a server."""

import asyncio

import pytest

from keras_reptile.demo import guard
from keras_reptile.demo.guard import MOST_BYTES, Guard, host_name, refusal

HOST = (b"host", b"127.0.0.1:7860")
ORIGIN = (b"origin", b"http://127.0.0.1:7860")
JSON = (b"content-type", b"application/json")
JOIN = "/gradio_api/queue/join"


def status(method="GET", path="/", *headers):
    refused = refusal(method, path, list(headers) or [HOST])
    return refused.status if refused else None


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/assets/index-Bx_1.js",
        "/static/js/iframeResizer.contentWindow.min.js",
        "/theme.css",
        "/manifest.json",
        "/favicon.ico",
        "/gradio_api/queue/data",
        "/gradio_api/heartbeat/zi9ow4slqm",
    ],
)
def test_what_a_browser_reads_is_open(path):
    assert status("GET", path) is None
    assert status("HEAD", path) is None
    assert status("POST", path, HOST, JSON) == 404


def test_the_page_may_send_its_drawings():
    assert status("POST", JOIN, HOST, ORIGIN, JSON, (b"sec-fetch-site", b"same-origin")) is None
    assert status("GET", JOIN) == 404


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload",
        "/upload",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1/",
        "/login",
        "/monitoring",
        "/docs",
        "/openapi.json",
        "/gradio_api/info",
        "/gradio_api/mcp/sse",
        "/gradio_api/run/predict",
        "/gradio_api/call/predict",
        "/gradio_api/heartbeat/" + 65 * "a",
        "/config",
        "/assets/../gradio_api/info",
        "/assets/%2e%2e/config",
        "//",
        "/\n",
    ],
)
def test_other_addresses_are_closed(path):
    for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"):
        assert status(method, path, HOST, ORIGIN, JSON) == 404


@pytest.mark.parametrize(
    "host, expected",
    [
        (b"localhost", None),
        (b"LOCALHOST:8080", None),
        (b"[::1]:7860", None),
        (b"evil.example:7860", 403),
        (b"127.0.0.1.evil.example", 403),
        (b"localhost:7860@evil.example", 403),
        (b"", 403),
    ],
)
def test_hosts_are_names_of_this_machine(host, expected):
    assert status("GET", "/", (b"host", host)) == expected
    assert status("POST", JOIN, (b"host", host), JSON) == expected


def test_a_request_without_a_host_is_refused():
    assert status("GET", "/", JSON) == 403


@pytest.mark.parametrize(
    "origin", [b"http://evil.example", b"null", b"http://127.0.0.1:3000", b"file://", b""]
)
def test_pages_of_other_sites_are_refused(origin):
    assert status("POST", JOIN, HOST, (b"origin", origin), JSON) == 403
    assert status("GET", "/gradio_api/queue/data", HOST, (b"origin", origin)) == 403


def test_another_site_may_link_to_the_page_but_not_embed_its_streams():
    cross, to_open = (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate")
    assert status("GET", "/", HOST, cross, to_open) is None
    assert status("GET", "/gradio_api/heartbeat/a", HOST, cross) == 403
    assert status("POST", JOIN, HOST, JSON, cross, to_open) == 403


@pytest.mark.parametrize(
    "headers, expected",
    [
        ([(b"content-type", b"multipart/form-data; boundary=a")], 415),
        ([(b"content-type", b"text/plain")], 415),
        ([], 415),
        ([(b"content-type", b"Application/JSON; charset=utf-8")], None),
        ([JSON, (b"content-length", str(MOST_BYTES).encode())], None),
        ([JSON, (b"content-length", str(MOST_BYTES + 1).encode())], 413),
        ([JSON, (b"content-length", b"-1")], 400),
        ([JSON, (b"content-length", 5000 * b"9")], 400),
        ([JSON, (b"content-length", b"1"), (b"content-length", b"2")], 400),
        ([JSON, HOST], 400),
    ],
)
def test_a_body_is_short_json(headers, expected):
    assert status("POST", JOIN, HOST, *headers) == expected


def test_a_host_is_read_without_its_port():
    assert [host_name(h) for h in ("a:1", "a", "A:", "[::1]")] == ["a", "a", "a", "[::1]"]


def scope(method="POST", path=JOIN, headers=(HOST, JSON)):
    return {"type": "http", "method": method, "path": path, "headers": list(headers)}


def responses(scope, *messages, application=None):
    """What a guarded application sends, if the server gives it these messages."""
    given, sent, seen = list(messages), [], []

    async def receive():
        return given.pop(0)

    async def send(message):
        sent.append(message)

    async def echo(scope, receive, send):
        seen.append(await receive() if scope.get("method") == "POST" else None)
        await send({"type": "http.response.start", "status": 200})

    asyncio.run(Guard(application or echo)(scope, receive, send))
    return sent, seen, given


def part(body, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_reaches_the_application_whole():
    sent, seen, _ = responses(scope(), part(b'{"session_hash"', more=True), part(b':"a"}'))
    assert sent == [{"type": "http.response.start", "status": 200}]
    assert seen == [part(b'{"session_hash":"a"}')]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"session_hash": null}',
        b'{"session_hash": ""}',
        b'{"session_hash": "../a"}',
        b'{"session_hash": "' + 65 * b"a" + b'"}',
        100_000 * b"[",
        b"\xff",
    ],
)
def test_a_body_that_is_no_event_is_refused(body):
    sent, seen, _ = responses(scope(), part(body))
    assert [sent[0]["status"], seen] == [400, []]


def test_a_body_without_end_is_read_no_further_than_its_limit():
    pieces = [part(bytes(MOST_BYTES // 4), more=True)] * 100
    sent, seen, left = responses(scope(), *pieces)
    assert [sent[0]["status"], seen, len(left)] == [413, [], 95]
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_body_that_breaks_off_is_refused():
    sent, seen, _ = responses(scope(), part(b"{", more=True), {"type": "http.disconnect"})
    assert [sent[0]["status"], seen] == [400, []]


def test_a_body_that_does_not_arrive_is_refused(monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE", 0.05)

    async def silent():
        await asyncio.sleep(60)

    assert asyncio.run(guard.read_body(silent)).status == 408


def test_a_refused_request_is_not_read():
    sent, seen, left = responses(scope(path="/gradio_api/upload"), part(b"hello"))
    assert [sent[0]["status"], seen, left] == [404, [], [part(b"hello")]]


def test_a_web_socket_is_closed():
    sent, seen, _ = responses({"type": "websocket", "path": "/", "headers": [HOST]})
    assert [sent, seen] == [[{"type": "websocket.close", "code": 1008}], []]


def test_the_applications_life_begins_and_ends():
    async def application(scope, receive, send):
        await send(scope)

    sent, _, _ = responses({"type": "lifespan"}, application=application)
    assert sent == [{"type": "lifespan"}]
