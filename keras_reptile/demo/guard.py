"""Refuses every request that the page does not send, before the server reads it.

The rules are functions of a request's headers. They need neither Gradio nor a server.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# A page of 20 characters with 5 drawings each sends up to 1.2 MB.
MOST_BYTES = 2 * 2**20
# Seconds in which a body must arrive.
PATIENCE = 10.0
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# The paths that a browser requests while it shows the page.
READ = re.compile(
    r"/|/(assets|static)/[\w./-]+|/theme\.css|/manifest\.json|/favicon\.ico"
    r"|/gradio_api/queue/data|/gradio_api/heartbeat/\w{1,64}",
    re.ASCII,
)
SESSION = re.compile(r"\w{1,64}", re.ASCII)
WRITTEN = "/gradio_api/queue/join"


class Refusal(NamedTuple):
    """An answer in place of the page's: an HTTP status and its reason."""

    status: int
    reason: str


NO_EVENT = Refusal(400, "The body must be an event of the page. Reload the page.")


class Guard:
    """Passes the requests of the page on to an ASGI application, and refuses all others.

    Args:
        application: The ASGI application that serves the page.
    """

    def __init__(self, application: Application):
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._application(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        refused = refusal(scope["method"], scope["path"], scope["headers"])
        if refused is None and scope["method"] == "POST":
            body = await read_body(receive)
            if isinstance(body, bytes) and is_event(body):
                return await self._application(scope, replay(body, receive), send)
            refused = NO_EVENT if isinstance(body, bytes) else body
        if refused is not None:
            return await answer(refused, send)
        await self._application(scope, receive, send)


def refusal(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> Refusal | None:
    """Returns why a request is refused, `None` if the page sends such requests.

    Args:
        method: String, such as `"GET"`.
        path: String, the decoded path without a query.
        headers: List of pairs of bytes, a lower-case name and a value, as in ASGI.

    Example:

    >>> refusal("GET", "/", [(b"host", b"localhost:7860")])
    >>> refusal("GET", "/", [(b"host", b"evil.example:7860")]).status
    403
    """
    known = _known(headers)
    if isinstance(known, Refusal):
        return known
    return _of_another_site(method, known) or _of_route(method, path) or _of_body(method, known)


def host_name(host: str) -> str:
    """Returns a Host header without its port, in lower case.

    Example:

    >>> host_name("LocalHost:7860"), host_name("[::1]:7860"), host_name("[::1]")
    ('localhost', '[::1]', '[::1]')
    """
    return re.sub(r":\d*$", "", host.lower())


async def read_body(receive: Receive) -> bytes | Refusal:
    """Returns a request's body, or why it is refused. At most `MOST_BYTES` are kept."""
    try:
        return await asyncio.wait_for(_read(receive), PATIENCE)
    except TimeoutError:
        return Refusal(408, f"The body did not arrive within {PATIENCE:.0f} seconds.")


def is_event(body: bytes) -> bool:
    """Returns whether a body is JSON with a short name of a session.

    Gradio keeps the names of many sessions, in several places.

    Example:

    >>> is_event(b'{"session_hash": "zi9ow4slqm"}'), is_event(b"[]")
    (True, False)
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return False
    name = event.get("session_hash") if isinstance(event, dict) else None
    return isinstance(name, str) and SESSION.fullmatch(name) is not None


def replay(body: bytes, receive: Receive) -> Receive:
    """Returns a `receive` that returns the body first, and then the server's messages."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> MutableMapping[str, Any]:
        return messages.pop() if messages else await receive()

    return replayed


async def answer(refused: Refusal, send: Send) -> None:
    """Sends a refusal as text, and closes the connection."""
    body = refused.reason.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read(receive: Receive) -> bytes | Refusal:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return Refusal(400, "The connection ended within the body.")
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return _too_large()
        if not message.get("more_body", False):
            return body


def _known(headers: list[tuple[bytes, bytes]]) -> dict[str, str] | Refusal:
    """Returns the headers that the rules read. None of them may occur twice."""
    names = (b"host", b"origin", b"content-type", b"content-length", b"sec-fetch-site")
    found = [(name, value) for name, value in headers if name in (*names, b"sec-fetch-mode")]
    known = {name.decode(): value.decode("latin-1") for name, value in found}
    if len(known) < len(found):
        return Refusal(400, "A header comes twice.")
    return known


def _of_another_site(method: str, headers: dict[str, str]) -> Refusal | None:
    """Refuses names that are not this machine's, and requests from pages of other sites."""
    host = headers.get("host", "").lower()
    if host_name(host) not in LOOPBACK:
        return Refusal(403, f"Hosts must be one of {', '.join(LOOPBACK)}. Received: {host[:100]}")
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        return Refusal(403, f"The page of another site sent this: {origin[:100]}")
    # A link on another site's page may open the page.
    opened = method != "POST" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not opened:
        return Refusal(403, "The page of another site sent this.")
    return None


def _of_route(method: str, path: str) -> Refusal | None:
    if method in ("GET", "HEAD"):
        # A path with two dots could lead out of a folder.
        is_open = READ.fullmatch(path) is not None and ".." not in path
    else:
        is_open = method == "POST" and path == WRITTEN
    return None if is_open else Refusal(404, "The page does not need this address.")


def _of_body(method: str, headers: dict[str, str]) -> Refusal | None:
    if method != "POST":
        return None
    # A form of another site cannot send this type.
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return Refusal(415, "The content type must be application/json.")
    length = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        return Refusal(400, "Content-Length must be a number.")
    return _too_large() if int(length) > MOST_BYTES else None


def _too_large() -> Refusal:
    return Refusal(413, f"A body may have {MOST_BYTES} bytes at most.")
