from __future__ import annotations

import copy
import json
import pickle
import pprint
import reprlib
import socket
import threading
import traceback
from datetime import datetime, timedelta, timezone

import pytest
import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from ltiaas_middleware import (
    ApiKeyCredential,
    CredentialError,
    CredentialScopeError,
    LtikCredential,
    ServiceKeyCredential,
)
from tests.account import told

ORIGIN, KEY, LTIK = "https://your.ltiaas.com", "the-api-key", "aaa.bbb.ccc"
SOON = datetime.now(timezone.utc) + timedelta(hours=1)


@pytest.fixture(params=["httpx", "httpx2"])
def httpx(request):
    return pytest.importorskip(request.param)


@pytest.mark.parametrize(
    ("credential", "value"),
    [
        (LtikCredential(ORIGIN, KEY, LTIK), "LTIK-AUTH-V2 the-api-key:aaa.bbb.ccc"),
        (ServiceKeyCredential(ORIGIN, KEY, "sk"), "SERVICE-AUTH-V1 the-api-key:sk"),
        (ApiKeyCredential(ORIGIN, KEY), "Bearer the-api-key"),
    ],
)
def test_the_header_is_byte_for_byte_what_ltiaas_takes(credential, value, httpx):
    assert credential.authorization == value
    assert credential.headers == {"Authorization": value}
    sent = requests.Request("GET", f"{ORIGIN}/api/x", auth=credential).prepare()
    assert sent.headers["Authorization"] == value
    with httpx.Client(
        transport=httpx.MockTransport(
            lambda r: httpx.Response(200, text=r.headers["Authorization"])
        )
    ) as client:
        assert client.get(f"{ORIGIN}/api/x", auth=credential).text == value


@pytest.mark.parametrize("bad", ["", "a b", "a\r\nX: y", "a\x00", "\xe9", "\u2028"])
def test_what_could_smuggle_something_into_a_header_is_refused_and_not_shown(bad):
    for make in (
        lambda: LtikCredential(ORIGIN, KEY, f"a{bad}" if bad else "a\tb"),
        lambda: ServiceKeyCredential(ORIGIN, KEY, f"{bad} "),
        lambda: ApiKeyCredential(ORIGIN, bad),
    ):
        with pytest.raises(CredentialError) as caught:
            make()
        assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/api",
        "http://your.ltiaas.com/api",
        "https://your.ltiaas.com:8443/api",
        "https://your.ltiaas.com.evil.example/api",
        "https://your.ltiaas.com@evil.example/api",
        "https://sub.your.ltiaas.com/api",
    ],
)
def test_no_other_origin_is_signed_for(url, httpx):
    credential = LtikCredential(ORIGIN, KEY, LTIK)
    request = requests.Request("GET", url, auth=credential)
    with pytest.raises(CredentialScopeError) as caught:
        request.prepare()
    assert KEY not in str(caught.value)
    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    with httpx.Client(transport=transport) as client, pytest.raises(CredentialScopeError):
        client.get(url, auth=credential)


def test_an_unclear_address_is_not_signed_for():
    class Odd:
        url = "https://evil.example\\@your.ltiaas.com/"

        def __init__(self):
            self.headers = {}

    odd = Odd()
    with pytest.raises(CredentialScopeError, match="ambiguous"):
        LtikCredential(ORIGIN, KEY, LTIK)(odd)
    assert odd.headers == {}


@pytest.mark.parametrize("client", ["requests", "httpx", "httpx2"])
def test_a_redirect_to_another_origin_does_not_take_the_header_along(client):
    library = pytest.importorskip(client)
    seen: dict[str, str | None] = {}

    @Request.application
    def other(request: Request) -> Response:
        seen["other"] = request.headers.get("Authorization")
        return Response("there")

    other_server = make_server("127.0.0.1", 0, other)

    @Request.application
    def account(request: Request) -> Response:
        seen["account"] = request.headers.get("Authorization")
        return Response(
            status=302, headers={"Location": f"http://127.0.0.1:{other_server.port}/stolen"}
        )

    account_server = make_server("127.0.0.1", 0, account)
    threads = [
        threading.Thread(target=server.serve_forever) for server in (other_server, account_server)
    ]
    for thread in threads:
        thread.start()
    try:
        credential = LtikCredential(f"http://127.0.0.1:{account_server.port}", KEY, LTIK)
        url = f"{credential.origin}/api/x"
        if client == "requests":
            assert requests.get(url, auth=credential, timeout=5).text == "there"
        else:
            assert library.get(url, auth=credential, follow_redirects=True).text == "there"
    finally:
        for server in (other_server, account_server):
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()
    assert seen == {"account": credential.authorization, "other": None}


def test_it_expires():
    assert not LtikCredential(ORIGIN, KEY, LTIK, SOON).expired
    assert LtikCredential(ORIGIN, KEY, LTIK, SOON - timedelta(hours=2)).expired
    assert LtikCredential(ORIGIN, KEY, LTIK, SOON).expires_at == SOON
    assert ServiceKeyCredential(ORIGIN, KEY, "sk").expires_at is None
    assert not ServiceKeyCredential(ORIGIN, KEY, "sk").expired


def test_it_is_a_value():
    one, same = LtikCredential(ORIGIN, KEY, LTIK), LtikCredential(ORIGIN, KEY, LTIK)
    assert one == same
    assert hash(one) == hash(same)
    assert one != LtikCredential(ORIGIN, KEY, "ddd.eee.fff")
    assert one != ServiceKeyCredential(ORIGIN, KEY, LTIK)
    assert one != "text"
    assert copy.copy(one) is one
    assert copy.deepcopy([one]) == [one]
    with pytest.raises(AttributeError):
        one.origin = "https://evil.example"
    with pytest.raises(AttributeError):
        one._value = "x"
    with pytest.raises(AttributeError):
        del one._value


def test_it_never_shows_itself():
    credential = LtikCredential(ORIGIN, KEY, LTIK, SOON)
    shown = [repr(credential), str(credential), f"{credential}", "%s" % [credential]]
    try:
        raise RuntimeError(credential)
    except RuntimeError as error:
        shown.append(
            "".join(
                traceback.TracebackException.from_exception(error, capture_locals=True).format()
            )
        )
    for text in shown:
        assert KEY not in text
        assert LTIK not in text
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(credential)


@pytest.fixture
def nobody():
    """An address at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"https://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    "signed",
    [
        lambda credential: {"auth": credential},
        lambda credential: {"headers": credential.headers},
        lambda credential: {"headers": {"Authorization": credential.authorization}},
    ],
)
@pytest.mark.parametrize("client", ["requests", "httpx", "httpx2"])
def test_the_frames_of_a_client_whose_call_fails_show_no_secret(nobody, signed, client):
    library = pytest.importorskip(client)
    refused = library.ConnectionError if client == "requests" else library.ConnectError
    credential = LtikCredential(nobody, KEY, LTIK)
    with pytest.raises(refused) as caught:
        library.get(f"{nobody}/api/idtoken", timeout=5, **signed(credential))
    shown = told(caught.value)
    assert "127.0.0.1" in shown
    assert KEY not in shown
    assert LTIK not in shown


def test_a_credential_that_cannot_be_made_shows_no_secret():
    for make in (
        lambda: LtikCredential(ORIGIN, KEY, f"{LTIK} "),
        lambda: ServiceKeyCredential(ORIGIN, KEY, f"{LTIK} "),
        lambda: ApiKeyCredential(ORIGIN, f"{KEY} "),
    ):
        with pytest.raises(CredentialError) as caught:
            make()
        shown = told(caught.value)
        assert KEY not in shown
        assert LTIK not in shown


def test_a_header_is_text_that_does_not_show_itself():
    header = LtikCredential(ORIGIN, KEY, LTIK).authorization
    assert header == f"LTIK-AUTH-V2 {KEY}:{LTIK}"
    assert f"{header}" == str(header) == header.encode().decode()
    assert json.loads(json.dumps([header])) == [header]
    for shown in (
        repr(header), repr({"a": [header]}), f"{header!r}", repr(header[:40]), repr(header[-40:]),
        pprint.pformat({"a": header}), reprlib.repr(header), repr(copy.deepcopy({"a": header})),
    ):  # fmt: skip
        assert KEY not in shown
        assert LTIK not in shown
