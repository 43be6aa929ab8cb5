"""What becomes of a call: addresses, repeats, deadlines, errors. From threads and from tasks."""

from __future__ import annotations

import asyncio
import pickle
import ssl
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
import trustme

from ltiaas_middleware import (
    ApiError,
    ApiKeyCredential,
    ApiKeyRejected,
    CredentialScopeError,
    LaunchExpired,
    LineItem,
    LtikCredential,
    RateLimited,
    Score,
    ServiceNotAvailable,
    UpstreamError,
)
from ltiaas_middleware.api import async_clients
from ltiaas_middleware.api.async_clients import new_client
from ltiaas_middleware.api.async_session import AsyncApiSession
from ltiaas_middleware.api.exchange import Answer, Call, Failure, Pause, RetryPolicy, Send, exchange
from ltiaas_middleware.api.session import ApiSession
from ltiaas_middleware.api.transport import new_session
from ltiaas_middleware.errors import InvalidRequest
from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from tests.account import PATIENT, Account, Caller

SCORE = Score(user_id="ben", score_given=7, score_maximum=10)


# Pages


def test_pages_are_fetched_only_when_they_are_reached(account: Account) -> None:
    with ApiSession(account.launch()) as api:
        members = api.members(limit=10)
        assert account.sandbox.api_log.count() == 0
        first = [next(members) for _ in range(10)]
        assert account.sandbox.api_log.count() == 1
        rest = list(members)
        assert account.sandbox.api_log.count() == 4
    ids = [member.user_id for member in first + rest]
    course = account.sandbox.world.courses[0]
    assert ids == [user.id for user in course.members]


def test_async_pages_are_fetched_only_when_they_are_reached(account: Account) -> None:
    async def main() -> None:
        async with AsyncApiSession(account.launch()) as api:
            seen = 0
            async for _ in api.members(limit=10):
                seen += 1
                assert account.sandbox.api_log.count() == (seen + 9) // 10
            assert seen == 33

    asyncio.run(main())


def test_pages_that_go_round_in_a_circle_end_with_an_error(api: Caller, world: Any) -> None:
    world("/api/memberships", {"members": [{"userId": 1}], "next": "https://lms.example/1"})
    with pytest.raises(UpstreamError, match="loop"):
        api("members", with_=world.credential)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"members": "none"}, "no members"),
        ({"memberships": []}, "no members"),
        ({"members": [{"roles": []}]}, "none of the members"),
        (None, "no members"),
    ],
)
def test_a_page_that_is_none_is_an_upstream_error(
    api: Caller, world: Any, document: Any, why: str
) -> None:
    world("/api/memberships", document)
    with pytest.raises(UpstreamError, match=why) as caught:
        api("members", with_=world.credential)
    assert caught.value.status == 200
    assert caught.value.__context__ is None


# Addresses


def test_another_origin_is_refused_before_anything_is_sent(api: Caller) -> None:
    for address in (
        "https://elsewhere.example/api/idtoken",
        api.account.url.replace("127.0.0.1", "localhost") + "/api/idtoken",
        api.account.url.replace("http:", "https:") + "/api/idtoken",
        f"{api.account.url}@elsewhere.example/api/idtoken",
        "ftp://elsewhere.example/api/idtoken",
    ):
        with pytest.raises(CredentialScopeError):
            api("request", "GET", address)
    assert api.account.sandbox.api_log.count() == 0


def test_an_absolute_address_on_the_account_is_taken(api: Caller) -> None:
    token = api("request", "get", f"{api.account.url}/api/idtoken?raw=true")
    assert token["iss"] == "https://moodle.northfield.example"
    entry = api.account.sandbox.api_log[0]
    assert (entry.path, entry.query) == ("/api/idtoken", "raw=true")


@pytest.mark.parametrize("path", ["", "/", "/api", "/idtoken"])
def test_an_absolute_address_of_no_endpoint_is_for_ltiaas_to_refuse(api: Caller, path: str) -> None:
    with pytest.raises(ApiError):
        api("request", "GET", f"{api.account.url}{path}")


@pytest.mark.parametrize("path", ["idtoken", "/idtoken", "/api/idtoken"])
def test_a_relative_path_joins_the_api(api: Caller, path: str) -> None:
    assert api("request", "GET", path, query={"raw": "true"})["sub"] == "ada"
    assert api.account.sandbox.api_log[0].path == "/api/idtoken"


@pytest.mark.parametrize(
    "path",
    [
        "memberships/../platforms",
        "memberships/%2e%2E/platforms",
        "lineitems/./x",
        "lineitems//x",
        "lineitems/..",
        "lineitems/%2E",
        "lineitems//",
        "lineitems/ü",
        "lineitems/a b",
        "lineitems/a#b",
        "lineitems\\x",
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(api: Caller, path: str) -> None:
    with pytest.raises(InvalidRequest):
        api("request", "GET", path)
    assert api.account.sandbox.api_log.count() == 0


@pytest.mark.parametrize("id", ["", ".", "..", "\ud800", 7])
def test_an_id_that_no_encoding_protects_is_refused(api: Caller, id: Any) -> None:
    with pytest.raises(InvalidRequest):
        api("line_item", id)


def test_ids_are_encoded_once_whatever_is_in_them(api: Caller) -> None:
    for id in ("a/b?c=d&e#f", "100%", "%2F", "ü🙂", "~'()*!", "a+b c"):
        with pytest.raises(ApiError) as caught:
            api("line_item", id)
        assert caught.value.status == 404
    paths = [entry.path.removeprefix("/api/lineitems/") for entry in api.account.sandbox.api_log]
    assert paths == [
        "a%2Fb%3Fc%3Dd%26e%23f",
        "100%25",
        "%252F",
        "%C3%BC%F0%9F%99%82",
        "~%27%28%29%2A%21",
        "a%2Bb%20c",
    ]


def test_query_values_are_encoded_once_and_half_characters_refused(api: Caller) -> None:
    api("line_items", tag="a&b=c/d é%2F+")
    assert api.account.sandbox.api_log[0].query == "tag=a%26b%3Dc%2Fd%20%C3%A9%252F%2B"
    with pytest.raises(InvalidRequest):
        api("line_items", tag="\ud800")


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "5"])
def test_a_limit_is_a_whole_number_from_1(api: Caller, limit: Any) -> None:
    for name in ("members", "line_items"):
        with pytest.raises(InvalidRequest, match="limit"):
            api(name, limit=limit)


def test_a_body_that_is_no_json_is_refused(api: Caller) -> None:
    for body in ({"a": float("nan")}, {"a": object()}, {"a": {1, 2}}):
        with pytest.raises(InvalidRequest, match="JSON"):
            api("request", "POST", "lineitems", json=body)
    assert api.account.sandbox.api_log.count() == 0


def test_redirects_are_not_followed(api: Caller) -> None:
    for location in ("https://elsewhere.example/", f"{api.account.url}/api/memberships"):
        api.account.sandbox.fault("redirect", location=location, times=1)
        with pytest.raises(UpstreamError, match="302"):
            api("id_token")
    assert api.account.sandbox.api_log.count() == 2


# Repeats

FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("rate_limit", {"retry_after": 0}),
    ("status", {"status": 502}),
    ("status", {"status": 503}),
    ("status", {"status": 504}),
    ("reset", {}),
    ("truncated", {}),
]


@pytest.mark.parametrize(("fault", "options"), FAULTS, ids=lambda value: str(value))
def test_what_changes_nothing_is_repeated(api: Caller, fault: str, options: dict[str, Any]) -> None:
    account = api.account
    column = account.line_item()
    item = LineItem(id=column, label="Renamed", score_maximum=10)
    for name, args in (
        ("id_token", ()), ("update_line_item", (item,)), ("delete_line_item", (column,)),
    ):  # fmt: skip
        if fault == "truncated" and name == "delete_line_item":
            continue  # a 204 has no body to cut
        account.sandbox.api_log.clear()
        account.sandbox.fault(fault, times=2, **options)
        api(name, *args)
        assert account.sandbox.api_log.count() == 3
    assert account.sandbox.gradebook.column_of("quiz-1") is None or fault == "truncated"
    least = 1 if fault == "rate_limit" else 0
    assert all(least + 0.05 <= pause <= least + 1 for pause in api.pauses)


def test_deleting_what_the_attempt_before_deleted_is_a_success(account: Account) -> None:
    def flow(method: str) -> Any:
        call = Call(method, "lineitems/1", lambda document: document)
        flow = exchange(call, account.launch(), RetryPolicy())
        next(flow)
        return flow

    lost_then_gone = flow("DELETE")
    assert isinstance(lost_then_gone.send(Failure("connection closed mid-response")), Pause)
    lost_then_gone.send(None)
    with pytest.raises(StopIteration) as done:
        lost_then_gone.send(Answer(404, b""))
    assert done.value.value is None
    with pytest.raises(ApiError, match="404"):
        flow("DELETE").send(Answer(404, b""))
    lost_then_missing = flow("GET")
    lost_then_missing.send(Answer(502, b""))
    lost_then_missing.send(None)
    with pytest.raises(ApiError, match="404"):
        lost_then_missing.send(Answer(404, b""))


@pytest.mark.parametrize(("fault", "options"), FAULTS[1:5], ids=lambda value: str(value))
def test_what_may_have_been_taken_is_sent_once(
    api: Caller, fault: str, options: dict[str, Any]
) -> None:
    api.account.sandbox.fault(fault, **options)
    with pytest.raises((UpstreamError, RateLimited)) as caught:
        api("submit_score", api.account.line_item(), SCORE)
    assert api.account.sandbox.api_log.count() == 1
    assert caught.value.method == "POST"
    assert api.pauses == []


def test_repeats_end_after_some_attempts(api: Caller) -> None:
    api.account.sandbox.fault("status", status=503)
    with pytest.raises(UpstreamError) as caught:
        api("id_token", retry_policy=replace(PATIENT, attempts=3))
    assert api.account.sandbox.api_log.count() == 3
    assert len(api.pauses) == 2
    assert (caught.value.status, caught.value.path) == (503, "/api/idtoken")


def test_retry_after_is_honoured(api: Caller) -> None:
    api.account.sandbox.fault("rate_limit", retry_after=4, times=2)
    api("id_token")
    assert len(api.pauses) == 2
    assert all(4 < pause <= 5 for pause in api.pauses)


@pytest.mark.parametrize(
    "policy", [PATIENT, RetryPolicy(max_retry_after=3)], ids=["timeout", "max_retry_after"]
)
def test_a_wait_beyond_what_we_would_wait_is_left_to_the_caller(
    api: Caller, policy: RetryPolicy
) -> None:
    api.account.sandbox.fault("rate_limit", retry_after=30)
    with pytest.raises(RateLimited) as caught:
        api("id_token", retry_policy=policy)
    assert caught.value.retry_after == 30
    assert api.account.sandbox.api_log.count() == 1
    assert api.pauses == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 501])
def test_a_clear_refusal_is_not_repeated(api: Caller, status: int) -> None:
    api.account.sandbox.fault("status", status=status)
    with pytest.raises(ApiError) as caught:
        api("id_token")
    assert caught.value.status == status
    assert api.account.sandbox.api_log.count() == 1


# Time and size


def test_a_slow_answer_is_given_up_and_asked_for_again(api: Caller) -> None:
    api.account.sandbox.fault("delay", seconds=30, times=1)
    assert api("id_token", retry_policy=RetryPolicy(read_timeout=1)).user.id == "ada"
    assert api.account.sandbox.api_log.count() >= 2


def test_an_answer_that_drips_is_cut_off_at_the_deadline(api: Caller) -> None:
    api.account.sandbox.fault("drip", seconds=0.05)
    with pytest.raises(UpstreamError, match=r"deadline|in time"):
        api("id_token", retry_policy=RetryPolicy(timeout=1.5, read_timeout=5))
    assert api.account.sandbox.api_log.count() == 1


def test_an_answer_that_never_begins_is_cut_off_at_the_deadline(api: Caller) -> None:
    api.account.sandbox.fault("delay", seconds=30)
    with pytest.raises(UpstreamError, match=r"no time|in time"):
        api("id_token", retry_policy=RetryPolicy(timeout=0.3, read_timeout=5))


@pytest.mark.parametrize("fault", ["endless", "gzip_bomb"])
def test_an_answer_that_is_too_large_is_cut_off_and_not_asked_for_again(
    api: Caller, fault: str
) -> None:
    api.account.sandbox.fault(fault)
    with pytest.raises(UpstreamError, match=r"max_response_size|compressed"):
        api("id_token", retry_policy=replace(PATIENT, max_response_size=100_000))
    assert api.account.sandbox.api_log.count() == 1


@pytest.mark.parametrize("fault", ["not_json", "wrong_type"])
def test_nonsense_is_an_upstream_error(api: Caller, fault: str) -> None:
    api.account.sandbox.fault(fault)
    with pytest.raises(UpstreamError) as caught:
        api("id_token")
    assert caught.value.status == 200
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "bad",
    [{"timeout": 0}, {"attempts": 0}, {"read_timeout": -1}, {"connect_timeout": float("nan")},
     {"max_response_size": 0}],
)  # fmt: skip
def test_the_numbers_of_a_policy_are_above_0(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        RetryPolicy(**bad)


# Errors


def test_errors_say_what_was_asked_and_what_came_back(api: Caller) -> None:
    account = api.account
    with pytest.raises(LaunchExpired) as expired:
        api("members", with_=LtikCredential(account.url, account.key, "not.an.ltik"))
    error = expired.value
    assert (error.status, error.method, error.path) == (401, "GET", "/api/memberships")
    assert error.code == "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"
    assert error.description == "Invalid or expired ltik."
    with pytest.raises(ApiKeyRejected):
        api("platforms", with_=ApiKeyCredential(account.url, "another-key-than-the-accounts"))
    with pytest.raises(ServiceNotAvailable) as unavailable:
        api("line_items", with_=account.launch(course="choir"))
    assert unavailable.value.code == "SERVICE_NOT_AVAILABLE_FOR_CONTEXT"
    with pytest.raises(ServiceNotAvailable):
        api("deep_linking_form", [])
    with pytest.raises(ApiError, match="400 EXTERNAL_REQUEST_FAILED: the LMS responded") as refused:
        api("submit_score", account.line_item(), replace(SCORE, user_id="nobody"))
    assert (refused.value.status, refused.value.method) == (400, "POST")
    assert "Incorrect score received" in str(refused.value.details)


def test_nobody_at_the_address_is_an_upstream_error(api: Caller) -> None:
    credential = LtikCredential("http://127.0.0.1:1", api.account.key, "a.b.c")
    with pytest.raises(UpstreamError, match="no connection") as caught:
        api("id_token", with_=credential, retry_policy=replace(PATIENT, attempts=2))
    assert caught.value.status is None
    assert len(api.pauses) == 1


def test_a_certificate_that_is_not_trusted_is_not_asked_again(
    api: Caller, tls: tuple[Account, str]
) -> None:
    account, bundle = tls
    with pytest.raises(UpstreamError, match="certificate"):
        api("id_token", with_=account.launch())
    assert api.pauses == []
    trusting = replace(PATIENT, ca_bundle=bundle)
    assert api("id_token", with_=account.launch(), retry_policy=trusting).user.id == "ada"


@pytest.fixture
def tls(tmp_path: Any) -> Iterator[tuple[Account, str]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    sandbox = Sandbox()
    with SandboxServer(sandbox, ssl_context=context) as server:
        yield Account(sandbox, server.url), str(tmp_path / "ca.pem")


# The sessions themselves


def test_a_shared_session_is_left_open_and_its_connection_reused(world: Any) -> None:
    world("/api/idtoken", {"user": {"id": 1}})
    shared = new_session(2)
    for _ in range(3):
        with ApiSession(world.credential, session=shared) as api:
            api.id_token()
    pools = shared.get_adapter(world.url).poolmanager.pools  # type: ignore[attr-defined]
    used = [(pools[key].num_requests, pools[key].num_connections) for key in pools.keys()]  # noqa: SIM118
    assert used == [(3, 1)]
    shared.close()


def test_a_shared_client_is_left_open(account: Account) -> None:
    async def main() -> None:
        client = new_client(RetryPolicy())
        for _ in range(2):
            async with AsyncApiSession(account.launch(), client=client) as api:
                await api.id_token()
        assert not client.is_closed
        await client.aclose()

    asyncio.run(main())


def test_no_cookie_of_one_call_goes_out_with_another(world: Any) -> None:
    world("/api/idtoken", {"user": {"id": 1}}, {"Set-Cookie": "lb=1; Path=/"})
    session = new_session(1)
    for _ in range(2):
        ApiSession(world.credential, session=session).id_token()
    session.close()

    async def main() -> None:
        async with AsyncApiSession(world.credential) as api:
            await api.id_token()
            await api.id_token()

    asyncio.run(main())
    assert len(world.cookies) == 4
    assert set(world.cookies) == {None}


def test_a_session_does_not_show_its_credential_and_is_not_pickled(account: Account) -> None:
    credential = account.launch()
    with ApiSession(credential) as api:
        shown = [repr(api), str(api), repr(vars(api))]
        with pytest.raises(TypeError):
            pickle.dumps(api)

    async def main() -> str:
        async with AsyncApiSession(credential) as asynchronous:
            with pytest.raises(TypeError):
                pickle.dumps(asynchronous)
            return repr(asynchronous)

    shown.append(asyncio.run(main()))
    assert not [text for text in shown if credential.authorization in text or account.key in text]


def test_a_task_ends_a_call_that_is_cancelled(account: Account) -> None:
    account.sandbox.fault("delay", seconds=30)

    async def main() -> None:
        async with AsyncApiSession(account.launch()) as api:
            task = asyncio.create_task(api.id_token())
            await asyncio.to_thread(account.sandbox.api_log.wait_for, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


# What the drivers make of a client's stranger failures


@pytest.mark.parametrize(
    ("error", "why", "again"),
    [
        (requests.ConnectTimeout("secret"), "no response in time", True),
        (requests.exceptions.ChunkedEncodingError("secret"), "the request failed", False),
        (ValueError("secret"), "the request failed (ValueError)", True),
    ],
)
def test_what_requests_raises_becomes_an_upstream_error(
    account: Account, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str, again: bool
) -> None:
    session = new_session(1)
    tried = []

    def fail(*args: Any, **kwargs: Any) -> Any:
        tried.append(args)
        raise error

    monkeypatch.setattr(session, "send", fail)
    api = ApiSession(account.launch(), PATIENT, session=session, sleep=lambda _: None)
    with pytest.raises(UpstreamError) as caught:
        api.id_token()
    assert caught.value.description.startswith(why)
    assert caught.value.__context__ is None
    assert len(tried) == (PATIENT.attempts if again else 1)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize(
    ("error", "why"),
    [
        ("ConnectTimeout", "no response in time"),
        ("ReadError", "connection closed mid-response (ReadError)"),
        ("ConnectError", "no connection"),
        ("InvalidURL", "the request failed (InvalidURL)"),
    ],
)
def test_what_httpx_raises_becomes_an_upstream_error(
    account: Account, library: str, error: str, why: str
) -> None:
    httpx = pytest.importorskip(library)

    def fail(request: Any) -> Any:
        raise getattr(httpx, error)("secret")

    async def main() -> ApiError:
        client = httpx.AsyncClient(transport=httpx.MockTransport(fail))
        policy = replace(PATIENT, attempts=1)
        async with AsyncApiSession(account.launch(), policy, client=client) as api:
            with pytest.raises(UpstreamError) as caught:
                await api.id_token()
        await client.aclose()
        return caught.value

    raised = asyncio.run(main())
    assert raised.description == why
    assert raised.__context__ is None


def test_what_nobody_foresaw_is_not_called_an_outage(account: Account) -> None:
    httpx = async_clients.httpx()

    def fail(request: Any) -> Any:
        raise ZeroDivisionError

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as client:
            await AsyncApiSession(account.launch(), client=client).id_token()

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_either_httpx_will_do(
    account: Account, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    module = pytest.importorskip(library)
    if library == "httpx":
        monkeypatch.setitem(sys.modules, "httpx2", None)  # type: ignore[arg-type]
    made = []

    async def main() -> None:
        async with AsyncApiSession(account.launch()) as api:
            assert len([member async for member in api.members(limit=10)]) == 33
            made.append(await api._client.get())

    asyncio.run(main())
    assert type(made[0]) is module.AsyncClient
    assert made[0].is_closed


def test_without_either_httpx_it_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("httpx2", "httpx"):
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    with pytest.raises(ImportError, match="httpx2"):
        async_clients.httpx()


def test_an_exchange_has_no_time_for_an_attempt_after_its_deadline(account: Account) -> None:
    """A clock that jumps between the pause and the attempt, as a machine that sleeps does."""
    times = iter([0.0, 0.0, 1.0, 100.0])
    credential = account.launch()
    flow = exchange(
        Call("GET", "idtoken", lambda document: document), credential, RetryPolicy(timeout=10),
        monotonic=lambda: next(times), jitter=lambda low, high: low,
    )  # fmt: skip
    assert isinstance(next(flow), Send)
    assert flow.send(Answer(503, b"")) == Pause(0.05)
    with pytest.raises(UpstreamError, match="no time left"):
        flow.send(None)
