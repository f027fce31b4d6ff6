import asyncio
import http.client
import io
import json
import socket
import struct
import threading
import time
import zlib

import httpx2
import pytest
from galleries import asking, below, listening, painted, service, serving, wait_until
from PIL import Image
from starlette.testclient import TestClient

from samecar.errors import SamecarError
from samecar.serving.guard import ADDRESSES, RateLimit
from samecar.serving.settings import ServiceSettings, read_token
from samecar.serving.uploads import Crop

TOKEN = "a-token-of-sufficient-length"


@pytest.fixture(scope="module")
def port(painted_gallery):
    """Of a service on a socket that allows small bodies and gives them little time."""
    with listening(service(painted_gallery, bytes=50_000, upload_seconds=1)) as number:
        wait_until(lambda: ask(number, "GET", "/ready")[0] == 200)
        yield number


@pytest.fixture
def query(tmp_path):
    return painted(tmp_path, 2, 1, 7).read_bytes()


def ask(port, method, target, body=None, headers=None):
    """Status, headers and content of an answer, asked for without mending the target."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, target, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def form(file, **fields):
    """The body and type of a form with a picture."""
    request = httpx2.Request("POST", "http://x", files={"picture": ("q.png", file)}, data=fields)
    return request.read(), request.headers["content-type"]


def code(content):
    return json.loads(content)["error"]["code"]


def said(answer, status):
    """The code of a refusal."""
    assert answer.status_code == status, answer.text
    return answer.json()["error"]["code"]


def search(client, file, **more):
    return client.post("/api/search", files={"picture": ("q.png", file)}, **more)


def bomb(width, height):
    """A PNG that says it has so many pixels and is a few bytes long."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(100_000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def icon(picture):
    """An ICO that holds this picture and says of it what an icon can: one pixel."""
    entry = struct.pack("<BBBBHHII", 1, 1, 0, 0, 1, 32, len(picture), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + picture


def apple_icon(picture):
    """An ICNS that holds this picture and says that it has 16 by 16 pixels."""
    return b"icns" + struct.pack(">I", len(picture) + 16) + b"icp4" + struct.pack(">I", len(picture) + 8) + picture


def blank(width, height):
    """A PNG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"

# sizes


@pytest.mark.parametrize("size", [(5001, 5000), (9000, 9000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_bomb_is_refused_by_its_head(own_gallery, size):
    with serving(own_gallery) as client:
        began = time.perf_counter()
        assert said(search(client, bomb(*size)), 413) == "too_many_pixels"
        sent = {"picture": ("q.png", bomb(*size))}
        assert said(client.post("/api/pictures", files=sent), 413) == "too_many_pixels"
        sent = {"query": ("q.png", bomb(*size))}
        assert (
            said(client.put("/api/judgements", files=sent, data={"entry": 1, "same": "true"}), 413) == "too_many_pixels"
        )
        assert time.perf_counter() - began < 5


@pytest.mark.parametrize("kind", ["ICO", "ICNS", "EPS"])
def test_a_format_that_works_before_its_size_is_known_is_refused_unopened(own_gallery, kind, monkeypatch):
    file = {"ICO": icon(blank(300, 300)), "ICNS": apple_icon(blank(300, 300)), "EPS": EPS}[kind]
    sent = {"picture": ("q.png", file)}
    opened = []
    with serving(own_gallery, pixels=50_000) as client:
        Image.init()
        monkeypatch.setitem(Image.OPEN, kind, (lambda *_: opened.append(kind), None))
        assert said(search(client, file), 422) == "unreadable_picture"
        assert "known format" in search(client, file).json()["error"]["message"]
        assert said(client.post("/api/pictures", files=sent), 422) == "unreadable_picture"
    assert opened == []


def test_a_body_that_says_it_is_too_large_is_not_read(port):
    sent = socket.create_connection(("127.0.0.1", port), timeout=20)
    head = "POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    sent.sendall(f"{head}Content-Length: 50001\r\n\r\n".encode())
    answer = http.client.HTTPResponse(sent)
    answer.begin()
    assert (answer.status, code(answer.read())) == (413, "too_large")
    sent.close()


def test_a_body_without_a_length_is_refused_once_it_is_too_large(port):
    given = 0

    def pieces():
        nonlocal given
        yield b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n'
        while given < 100_000_000:
            given += 10_000
            yield bytes(10_000)

    try:
        status, _, content = ask(
            port, "POST", "/api/search", pieces(), {"Content-Type": "multipart/form-data; boundary=x"}
        )
        assert (status, code(content)) == (413, "too_large")
    except (BrokenPipeError, ConnectionResetError):  # it hung up while we were still sending
        pass
    assert given < 10_000_000
    assert ask(port, "GET", "/health")[0] == 200


def test_json_is_limited_too(port):
    body = json.dumps({"track_id": "x" * 60_000})
    status, _, content = ask(port, "PATCH", "/api/pictures/1", body, {"Content-Type": "application/json"})
    assert (status, code(content)) == (413, "too_large")


def test_many_parts_and_long_fields_are_refused(own_gallery, query):
    with serving(own_gallery) as client:
        many = [("camera", (None, "c1")) for _ in range(150)]
        assert said(client.post("/api/search", files=[("picture", ("q", query)), *many]), 400) == "bad_request"
        two = [("picture", ("q", query)), ("picture", ("q", query))]
        assert said(client.post("/api/pictures", files=two), 400) == "bad_request"
        assert said(search(client, query, data={"camera": "x" * 200_000}), 400) == "bad_request"
        assert said(search(client, query, data={"camera": ["c"] * 65}), 422) == "invalid"
        labels = json.dumps({f"name{number}": "" for number in range(33)})
        sent = {"picture": ("q", query)}
        assert said(client.post("/api/pictures", files=sent, data={"labels": labels}), 422) == "invalid"


def test_a_slow_body_is_refused(port):
    sent = socket.create_connection(("127.0.0.1", port), timeout=20)
    head = "POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    sent.sendall(f"{head}Content-Length: 1000\r\n\r\n--x".encode())
    began = time.monotonic()
    answer = http.client.HTTPResponse(sent)
    answer.begin()
    assert (answer.status, code(answer.read())) == (408, "too_slow")
    assert time.monotonic() - began < 5
    sent.close()


def in_progress(port, what="uploads"):
    text = ask(port, "GET", "/metrics")[2].decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"samecar_{what}_in_progress"))


def test_a_body_that_is_cut_off_leaves_nothing_behind(own_gallery, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    large = io.BytesIO()
    Image.effect_noise((1500, 1500), 80).save(large, "PNG")  # larger than what a form keeps in memory
    body, kind = form(large.getvalue(), camera_id="c1")
    picture = body.index(large.getvalue())
    whole = picture + len(large.getvalue())
    cuts = [0, 1, picture - 10, picture, picture + 20, len(body) // 2, whole - 1, whole, len(body) - 1]
    with listening(service(own_gallery)) as port:
        wait_until(lambda: ask(port, "GET", "/ready")[0] == 200)
        for cut in cuts:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as sent:
                head = f"POST /api/pictures HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
                sent.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:cut])
                wait_until(lambda: in_progress(port) == 1)
            wait_until(lambda: in_progress(port) == in_progress(port, "requests") == 0)
            assert json.loads(ask(port, "GET", "/api/gallery")[2])["pictures"] == 12, cut
            assert list((tmp_path / "temporary").iterdir()) == []
        assert ask(port, "POST", "/api/pictures", body, {"Content-Type": kind})[0] == 201
        assert json.loads(ask(port, "GET", "/api/gallery")[2])["pictures"] == 13
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_box_of_a_crop_always_holds_a_pixel():
    assert Crop(0, 0, 1, 1).box((40, 30)) == (0, 0, 40, 30)
    assert Crop(0.25, 0.5, 0.5, 0.5).box((40, 30)) == (10, 15, 30, 30)
    assert Crop(0.999999, 0.999999, 1e-6, 1e-6).box((40, 30)) == (39, 29, 40, 30)
    assert Crop(0, 0, 1e-9, 1e-9).box((1, 1)) == (0, 0, 1, 1)


# places of this machine


@pytest.mark.parametrize(
    "target",
    [
        "/page/../settings.py",
        "/page/..%2fsettings.py",
        "/page/%2e%2e/settings.py",
        "/page/%2e%2e%2f%2e%2e%2fsettings.py",
        "/page/..%5csettings.py",
        "/page//etc/passwd",
        "/page/%2fetc%2fpasswd",
        "/page/page.js%00.css",
        "/page/./page.js/../../app.py",
        "/../../../../etc/passwd",
        "//etc/passwd",
        "/page/index.html",
        "/page/",
        "/api/pictures/..%2f..%2fcatalogue.sqlite/thumbnail",
        "/api/pictures/../../gallery.json",
        "/api/pictures/1%00/thumbnail",
        "/api/pictures/-1/thumbnail",
        "/api/pictures/1e3/thumbnail",
        "/api/pictures/99999999999999999999999/thumbnail",
    ],
)
def test_no_file_of_the_machine_is_given(port, target):
    status, _, content = ask(port, "GET", target)
    assert status in (404, 422)
    assert code(content) in ("not_found", "invalid")


def test_nothing_tells_where_the_gallery_or_its_pictures_lie(own_gallery, query):
    with serving(own_gallery) as client:
        sent = {"picture": ("../../etc/passwd.png", query)}
        number = client.post("/api/pictures", files=sent).json()["id"]
        assert client.get(f"/api/pictures/{number}").json()["name"] == "passwd.png"
        (own_gallery / "catalogue.sqlite").rename(own_gallery / "hidden")
        (own_gallery / "catalogue.sqlite").mkdir()
        answers = [
            client.get("/api/gallery"),
            client.get("/api/pictures"),
            search(client, query),
            client.post("/api/pictures", files={"picture": ("new.png", query[:-1] + b"x")}),
            client.delete("/api/pictures/1"),
        ]
        (own_gallery / "catalogue.sqlite").rmdir()
        (own_gallery / "hidden").rename(own_gallery / "catalogue.sqlite")
    for answer in answers:
        assert str(own_gallery.parent) not in answer.text
        assert "catalogue" not in answer.text


# who may ask


def test_with_a_token_only_those_who_send_it_are_answered(painted_gallery, query):
    with serving_with_token(painted_gallery) as client:
        for headers in (
            {},
            {"Authorization": TOKEN},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": "Bearer "},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": f"Bearer {TOKEN[:-1]}"},
            {"Authorization": "Bearer ü".encode("latin-1")},
        ):
            for target in ("/api/gallery", "/metrics", "/api/pictures/1/thumbnail", "/api/nothing"):
                answer = client.get(target, headers=headers)
                assert said(answer, 401) == "unauthorized"
                assert answer.headers["www-authenticate"] == "Bearer"
        for target in ("/health", "/ready", "/", "/openapi.json"):
            assert client.get(target).status_code == 200
        headers = {"Authorization": f"bearer {TOKEN}"}
        assert client.get("/api/gallery", headers=headers).status_code == 200
        assert search(client, query, headers=headers).status_code == 200
        assert client.get("/metrics", headers=headers).status_code == 200


def test_below_a_prefix_the_token_is_asked_for_as_well(painted_gallery):
    app = below("/cars", service(painted_gallery, host="0.0.0.0", token=TOKEN, host_names=()))
    with TestClient(app) as client:
        wait_until(lambda: client.get("/cars/ready").status_code == 200)
        for path in ("/cars/api/gallery", "/cars/api/pictures", "/cars/metrics"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get("/api/gallery").status_code == 404


def serving_with_token(gallery, **settings):
    return serving(gallery, host="0.0.0.0", token=TOKEN, host_names=(), **settings)


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_a_service_on_another_loopback_address_may_be_asked_by_it(painted_gallery, host):
    with serving(painted_gallery, host=host) as client:
        named = f"[{host}]" if ":" in host else host
        assert client.get("/api/gallery", headers={"Host": f"{named}:8000"}).status_code == 200
        assert said(client.get("/api/gallery", headers={"Host": "127.0.0.3:8000"}), 403) == "forbidden"


def test_other_machines_are_not_let_in_without_a_token():
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org"):
        with pytest.raises(SamecarError, match="needs a token"):
            ServiceSettings(host=host).refuse_open_door()
        ServiceSettings(host=host, token=TOKEN).refuse_open_door()
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        ServiceSettings(host=host).refuse_open_door()


def test_where_a_token_comes_from(tmp_path, monkeypatch):
    monkeypatch.delenv("SAMECAR_TOKEN", raising=False)
    assert read_token(None) is None
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv("SAMECAR_TOKEN", "another-token-of-some-length")
    assert read_token(tmp_path / "token").get_secret_value() == TOKEN
    assert read_token(None).get_secret_value() == "another-token-of-some-length"
    for text in ("", "short", "two words but long enough", "ümlaut-und-lang-genug"):
        (tmp_path / "token").write_text(text)
        with pytest.raises(SamecarError, match="token"):
            read_token(tmp_path / "token")
    with pytest.raises(SamecarError, match="cannot be read"):
        read_token(tmp_path / "absent")


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://[", "Host": "localhost"},
        {"Origin": "http://testserver:81"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "elsewhere.example"},
        {"Host": "elsewhere.example:8000"},
        {"Host": ""},
    ],
)
def test_pages_of_other_sites_cannot_drive_a_service_without_a_token(own_gallery, query, headers):
    with serving(own_gallery) as client:
        assert said(client.delete("/api/pictures/1", headers=headers), 403) == "forbidden"
        assert said(search(client, query, headers=headers), 403) == "forbidden"
        if "Origin" not in headers:
            assert said(client.get("/api/pictures/1", headers=headers), 403) == "forbidden"
        assert client.get("/api/pictures/1").status_code == 200


def test_the_own_page_may_use_the_service(own_gallery, query):
    with serving(own_gallery) as client:
        own = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
        assert search(client, query, headers=own).status_code == 200
        for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
            assert client.get("/api/gallery", headers={"Host": host}).status_code == 200
            assert search(client, query, headers={"Host": host, "Origin": f"http://{host}"}).status_code == 200


def test_every_answer_says_what_a_browser_must_not_do(painted_gallery):
    with serving(painted_gallery) as client:
        for answer in (client.get("/"), client.get("/health"), client.get("/nothing"), client.get("/api/gallery")):
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "access-control-allow-origin" not in answer.headers


# floods


def test_a_bucket_is_filled_as_time_goes_by():
    now = 0.0
    limit = RateLimit(2, 3, clock=lambda: now)
    assert [limit.seconds_to_wait("a") for _ in range(4)] == [0, 0, 0, 1]
    assert limit.seconds_to_wait("b") == 0
    now = 0.5
    assert [limit.seconds_to_wait("a") for _ in range(2)] == [0, 1]
    now = 1000.0
    assert [limit.seconds_to_wait("a") for _ in range(4)] == [0, 0, 0, 1]
    assert RateLimit(0.01, 1, clock=lambda: now).seconds_to_wait("a") == 0


def test_addresses_of_one_network_share_a_bucket_and_old_ones_are_forgotten():
    limit = RateLimit(1, 1, clock=lambda: 0.0)
    assert limit.seconds_to_wait("2001:db8::1") == 0
    assert limit.seconds_to_wait("2001:db8::2") == 1
    assert limit.seconds_to_wait("2001:db8:0:1::1") == 0
    for number in range(2 * ADDRESSES):
        limit.seconds_to_wait(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(limit.buckets) == ADDRESSES


def test_one_address_that_asks_too_often_is_told_to_wait(painted_gallery):
    with serving(painted_gallery, rate=1, burst=5) as client:
        wait_until(lambda: client.app.state.service.is_ready)
        statuses = [client.get("/api/pictures/1").status_code for _ in range(12)]
        assert statuses[:5] == [200] * 5
        assert statuses.count(429) >= 3
        answer = client.get("/api/pictures/1")
        assert said(answer, 429) == "too_many_requests"
        assert answer.headers["retry-after"] == "1"
        assert client.get("/health").status_code == 200


def test_asking_whether_it_is_ready_is_limited_by_itself(painted_gallery):
    with serving(painted_gallery, rate=1, burst=5) as client:
        statuses = [client.get("/ready").status_code for _ in range(12)]
        assert statuses.count(429) >= 6
        assert set(statuses) <= {200, 429}
        answer = client.get("/ready")
        assert (said(answer, 429), answer.headers["retry-after"]) == ("too_many_requests", "1")
        assert client.get("/api/pictures/1").status_code == 200


def test_whoever_asks_too_often_uses_up_nothing_of_a_probe(painted_gallery):
    with serving(painted_gallery, rate=1, burst=5) as client:
        assert 429 in [client.get("/api/pictures/1").status_code for _ in range(12)]
        time.sleep(1.1)  # a probe's pause
        assert client.get("/ready").status_code == 200


def test_a_flood_is_turned_away_and_the_service_lives(painted_gallery, query):
    app = service(painted_gallery, waiting=4)
    most = 0

    async def main():
        nonlocal most
        async with asking(app) as client:
            served = app.state.service
            embed = served.gallery.model.embed_prepared
            go_on = threading.Event()

            def slow(pictures):
                nonlocal most
                most = max(most, len(pictures))
                assert go_on.wait(20)
                return embed(pictures)

            served.gallery.model.embed_prepared = slow
            asked = [asyncio.create_task(search(client, query)) for _ in range(200)]
            await asyncio.sleep(0.5)
            alive = (await client.get("/health")).status_code
            go_on.set()
            answers = await asyncio.gather(*asked)
            last = await search(client, query)
            return alive, answers, last

    alive, answers, last = asyncio.run(main())
    statuses = [answer.status_code for answer in answers]
    assert (alive, last.status_code) == (200, 200)
    assert (statuses.count(200), statuses.count(503)) == (4, 196)
    assert most <= 4
    refused = answers[statuses.index(503)]
    assert (said(refused, 503), refused.headers["retry-after"]) == ("busy", "1")


def test_changes_that_wait_leave_room_for_searches(own_gallery, query, tmp_path):
    app = service(own_gallery, waiting=4)
    files = [painted(tmp_path, 3, 1, index).read_bytes() for index in range(10, 20)]

    async def main():
        async with asking(app) as client:
            engine, go_on = app.state.service.gallery.engine, threading.Event()
            add = engine.add
            engine.add = lambda additions: go_on.wait(20) and add(additions)
            sent = [{"picture": ("q.png", file)} for file in files]
            adding = [asyncio.create_task(client.post("/api/pictures", files=each)) for each in sent]
            done, waiting = await asyncio.wait(adding, timeout=1)
            while len(done) < 8:
                done, waiting = await asyncio.wait(adding, timeout=1)
            change = await client.patch("/api/pictures/1", json={"track_id": "x"})
            searches = await asyncio.gather(search(client, query), client.get("/api/pictures/1"))
            go_on.set()
            added = [(await task).status_code for task in waiting]
            later = await client.patch("/api/pictures/1", json={"track_id": "x"})
            return [task.result() for task in done], change, [each.status_code for each in searches], added, later

    refused, change, found, added, later = asyncio.run(main())
    assert [said(answer, 503) for answer in (*refused, change)] == ["busy"] * 9
    assert (found, added, later.status_code) == ([200, 200], [201, 201], 200)
