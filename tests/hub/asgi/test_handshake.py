from __future__ import annotations

import pytest

from tests.hub.asgi.peer import carried
from treadle.hub.asgi.handshake import origin_allowed, read_cookies, read_handshake, read_offer

SCOPE = {
    "path": "/hub",
    "headers": [(b"host", b"a.example"), (b"Cookie", b"id=7; bad bad=1; theme=dark")],
    "query_string": b"room=a%20b&x=1",
    "client": ("10.0.0.1", 80),
}


@pytest.mark.parametrize(
    ("offered", "subprotocol", "encoding"),
    [
        ([], None, "json"),
        (["treadle.json"], "treadle.json", "json"),
        (["treadle.msgpack", "treadle.json"], "treadle.msgpack", "msgpack"),
        (["other", "treadle.json"], "treadle.json", "json"),
        (["other"], None, None),
    ],
)
def test_the_first_subprotocol_that_is_known_is_chosen(offered, subprotocol, encoding):
    offer = read_offer(offered)
    assert (offer.subprotocol, offer.encoding) == (subprotocol, encoding)


def test_subprotocols_carry_a_session_and_a_token():
    offer = read_offer(["treadle.json", carried("session", "a.b"), carried("token", "tök/en")])
    assert (offer.session, offer.token) == ("a.b", "tök/en")


@pytest.mark.parametrize("value", ["!!!!", "A", "_w"])
def test_a_token_that_is_no_text_is_none(value):
    assert read_offer(["treadle.json", f"treadle.token.{value}"]).token is None


def test_a_handshake_has_what_the_client_sent():
    request = read_handshake(SCOPE)
    assert request.headers["host"] == "a.example"
    assert request.query == {"room": "a b", "x": "1"}
    assert request.cookies == {"id": "7", "theme": "dark"}
    assert request.client == ("10.0.0.1", 80)
    assert request.scope is SCOPE


def test_a_token_becomes_the_header_that_programs_send():
    assert read_handshake(SCOPE, "abc").headers["authorization"] == "Bearer abc"


def test_a_header_goes_before_a_token():
    scope = {**SCOPE, "headers": [(b"authorization", b"Bearer mine")]}
    assert read_handshake(scope, "abc").headers["authorization"] == "Bearer mine"


def test_a_server_that_does_not_know_the_client_says_none():
    assert read_handshake({**SCOPE, "client": None}).client is None


def test_cookies_that_cannot_be_read_hide_no_others():
    assert read_cookies("a=1; =; ;; [x]=2; b=3") == {"a": "1", "b": "3"}


@pytest.mark.parametrize(
    ("origin", "host", "fine"),
    [
        (None, "a.example", True),
        ("https://a.example", "a.example", True),
        ("https://A.example", "a.EXAMPLE", True),
        ("https://a.example", "a.example:443", True),
        ("http://a.example:8000", "a.example:8000", True),
        ("http://a.example:8000", "a.example", False),
        ("http://a.example:8000", "a.example:8001", False),
        ("https://evil.example", "a.example", False),
        ("https://a.example.evil.example", "a.example", False),
        ("https://a.example@evil.example", "a.example", False),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("null", "a.example", False),
        ("", "", False),
        ("https://a.example:x", "a.example", False),
        ("http://[", "a.example", False),
    ],
)
def test_a_page_of_the_same_host_may_connect(origin, host, fine):
    headers = {"host": host} if origin is None else {"host": host, "origin": origin}
    assert origin_allowed(headers, None) is fine


def test_a_list_of_origins_is_exact():
    headers = {"host": "a.example", "origin": "https://a.example"}
    assert not origin_allowed(headers, frozenset({"https://b.example"}))
    assert origin_allowed(headers, frozenset({"https://a.example"}))
    assert origin_allowed(headers, frozenset({"*"}))
