"""Attacks on the demo over HTTP, while it is served on this machine."""

import contextlib
import importlib.util
import json
import os
import re
import resource
import signal
import socket
import struct
import threading
import zlib
from http.client import HTTPConnection

import pytest
from commands import start
from drawn import cross, data_url
from helpers import small_model
from webdriver import free_port

from keras_reptile.demo import page, server
from keras_reptile.demo.drawings import PREFIX
from keras_reptile.demo.drawn_task import DrawnTask
from keras_reptile.demo.guard import MOST_BYTES

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("gradio") is None, reason="needs Gradio: pip install '.[demo]'"
    ),
    pytest.mark.slow,
]
JOIN = "/gradio_api/queue/join"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """A port at which the page is served by a thread of this process."""
    os.environ.setdefault("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
    page.check_gradio()
    with server.listen(0) as listener:
        served = server.server(page.application(DrawnTask(small_model(), steps=3), "Model: small"))
        thread = threading.Thread(target=served.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        served.should_exit = True
        thread.join()


def ask(port, method, path, body=None, headers=()):
    """The status and the text of an answer."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")


def outcome(port, examples, steps=3):
    """The messages about an event of the page with these drawings of characters."""
    config = ask(port, "GET", "/")[1]
    sent = re.search(r"window\.gradio_config = (.*?);</script>", config)[1]
    learn = json.loads(sent)["dependencies"][0]
    event = {"fn_index": learn["id"], "session_hash": os.urandom(5).hex()}
    status, text = ask(port, "POST", JOIN, json.dumps({**event, "data": [examples, steps]}), JSON)
    assert status == 200, text
    return ask(port, "GET", "/gradio_api/queue/data?session_hash=" + event["session_hash"])[1]


def test_the_page_is_served_and_answers(port):
    drawing = data_url(cross())
    messages = outcome(port, json.dumps([[drawing], [data_url(cross(pen=60))], []]))
    assert "Learned 2 characters from 2 drawings: 3 gradient steps" in messages


def test_a_form_of_another_site_uploads_nothing(port):
    """Sends 200 MiB as a browser sends a form. The server closes before they are read."""
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "Origin: http://evil.example\r\nContent-Type: multipart/form-data; boundary=a\r\n"
        f"Content-Length: {200 * 2**20}\r\n\r\n--a\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(head.encode())
        sent = 0
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                connection.sendall(bytes(2**20))
                sent += 1
    assert sent < 100
    files = [name for _, _, names in os.walk(os.environ["GRADIO_TEMP_DIR"]) for name in names]
    assert files == []


def test_an_upload_of_the_page_itself_is_refused(port):
    headers = {"Content-Type": "multipart/form-data; boundary=a"}
    assert ask(port, "POST", "/gradio_api/upload", "--a--", headers)[0] == 404


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_refused(port, chunked):
    pieces = [bytes(MOST_BYTES // 4)] * 6
    body = iter(pieces) if chunked else b"".join(pieces)
    try:
        assert ask(port, "POST", JOIN, body, JSON)[0] == 413
    except ConnectionError:
        # The server closed the connection while the body was being sent.
        assert ask(port, "GET", "/")[0] == 200


def test_a_long_name_of_a_session_is_refused(port):
    event = {"fn_index": 0, "session_hash": 100_000 * "a", "data": ["[]", 3]}
    assert ask(port, "POST", JOIN, json.dumps(event), JSON)[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/mcp/",
        "/monitoring",
        "/config",
        "/docs",
        "/openapi.json",
        "/assets/..%2f..%2f..%2f..%2fetc/passwd",
        "/static/%2e%2e/%2e%2e/app.py",
    ],
)
def test_addresses_that_the_page_does_not_need_are_closed(port, path):
    assert ask(port, "GET", path) == (404, "The page does not need this address.")


def test_other_names_and_sites_are_refused(port):
    assert ask(port, "GET", "/", headers={"Host": f"evil.example:{port}"})[0] == 403
    foreign = {**JSON, "Origin": "http://evil.example"}
    assert ask(port, "POST", JOIN, "{}", foreign)[0] == 403
    assert ask(port, "OPTIONS", JOIN, headers=foreign)[0] == 403


def image_bomb(side):
    """A PNG of white pixels, whose bytes are about a thousandth of its pixels."""
    chunk = lambda name, content: (  # noqa: E731
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )
    lines = zlib.compressobj(9)
    row = b"\0" + bytes([255]) * side
    packed = b"".join(lines.compress(row) for _ in range(side)) + lines.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_a_small_file_of_a_huge_image_is_refused_before_it_is_decoded(port):
    import base64

    url = PREFIX + base64.b64encode(image_bomb(9000)).decode()
    assert len(url) < 2**18
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    messages = outcome(port, json.dumps([[url], [url], []]))
    assert "it declares 9000 x 9000 pixels, at most 1024 a side" in messages
    # Decoded to floats it would take 300 MiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 2**10


@pytest.mark.parametrize(
    "value, reason",
    [
        ("[" * 100_000, "The drawings must be 3 lists of PNG images. Reload the page."),
        ("[[], []]", "The drawings must be 3 lists of PNG images. Reload the page."),
        ('[[1], [], ["a"]]', "The drawings must be 3 lists of PNG images. Reload the page."),
        (None, "The drawings must be 3 lists of PNG images. Reload the page."),
        (json.dumps([["a"] * 6, [], []]), "A row may have 5 drawings at most. Reload the page."),
        (json.dumps([["a"], [], []]), "A drawing must be a PNG image in a data URL"),
    ],
)
def test_other_values_are_refused_in_words(port, value, reason, capsys):
    assert reason in outcome(port, value)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("steps", [10**9, -1, "many", None])
def test_a_slider_out_of_range_is_refused_in_words(port, steps, capsys):
    drawing = data_url(cross())
    messages = outcome(port, json.dumps([[drawing], [drawing], []]), steps=steps)
    assert "The gradient steps must be a number in 1 to 200. Reload the page." in messages
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.process
@pytest.mark.parametrize("name, status", [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_no_temporary_file_stays(name, status, tmp_path, monkeypatch):
    small_model().save(tmp_path / "model.keras")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    port = free_port()
    process = start("demo", f"--model={tmp_path}", f"--port={port}", "--steps=1", cwd=tmp_path)
    try:
        assert "The page is at" in process.stdout.readline()
        folders = list((tmp_path / "tmp").glob("keras_reptile_demo_*"))
        assert len(folders) == 1
        assert ask(port, "GET", "/")[0] == 200
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, err
    assert "Traceback" not in err
    # TensorFlow removes files of its own when Python ends.
    assert os.listdir(tmp_path / "tmp") == []
