from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import traceback
from typing import Any

import pytest

from ltiaas_middleware import LTIAASError, Settings, SettingsError, wsgi
from ltiaas_middleware.origins import is_loopback, origin_of
from ltiaas_middleware.settings import Options

URL, KEY = "https://your.ltiaas.com", "7d1c3f0e-0000-4000-8000-000000000001"


def settings(**options):
    return Settings(**({"url": URL, "api_key": KEY} | options))


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("your.ltiaas.com", URL),
        ("https://your.ltiaas.com", URL),
        ("https://your.ltiaas.com/", URL),
        (" HTTPS://Your.LTIAAS.com:443 ", URL),
        ("your.ltiaas.com:8443", URL + ":8443"),
        ("http://localhost:8400", "http://localhost:8400"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8400", "http://[::1]:8400"),
        ("http://lms.localhost", "http://lms.localhost"),
    ],
)
def test_the_account_is_a_domain_or_a_url(given, origin):
    assert settings(url=given).url == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        None,
        7,
        "http://your.ltiaas.com",
        "http://127.0.0.1.evil.example",
        "ftp://your.ltiaas.com",
        "https://",
        "https://your.ltiaas.com/api",
        "https://your.ltiaas.com?x=1",
        "https://your.ltiaas.com#x",
        "https://user:pass@your.ltiaas.com",
        "https://your.ltiaas.com\\@evil.example",
        "https://your.ltiaas.com:port",
        "https://your.ltiaas.com\nX",
        "https://f\xe4h.example",
        "https://[::1",
    ],
)
def test_an_address_that_is_none_names_the_setting(url):
    with pytest.raises(SettingsError, match="LTIAAS_URL"):
        settings(url=url)


@pytest.mark.parametrize("key", ["", None, "a b", "a:b", "a\nb", "a\x00b", "\xe9", "a\x7f", " a"])
def test_an_api_key_that_could_break_a_header_is_refused_and_not_shown(key):
    with pytest.raises(SettingsError, match="LTIAAS_API_KEY") as caught:
        settings(api_key=key)
    assert not key or repr(key) not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ttl", 0),
        ("ttl", -1),
        ("ttl", "soon"),
        ("ttl", True),
        ("ttl", float("nan")),
        ("ttl", float("inf")),
        ("max_launches", 1.5),
        ("max_launches", None),
        ("launch_path", "lti"),
        ("launch_path", "/lti/"),
        ("launch_path", "/"),
        ("launch_path", "/a b"),
        ("launch_path", "/a?b"),
        ("launch_path", 1),
        ("ltik_parameters", ""),
        ("ltik_parameters", ()),
        ("ltik_parameters", ["ltik", "a b"]),
        ("ltik_parameters", None),
        ("ltik_headers", True),
        ("ltik_headers", "X Ltik"),
        ("ltik_headers", ["X-Ltik", "Cookie"]),
        ("ltik_headers", ""),
        ("ltik_headers", [None]),
        ("require", "x"),
        ("on_error", 1),
        ("secrets", ""),
        ("secrets", "of-15-character"),
        ("secrets", ["long enough, really", "of-15-character"]),
        ("secrets", []),
        ("secrets", ["long enough, really", 1]),
        ("cookie_name", "a;b"),
        ("shared_cookies", ["sso", "a=b"]),
        ("shared_cookies", "a b"),
        ("shared_cookies", [""]),
        ("shared_cookies", "übung"),
        ("shared_cookies", ["sso", 1]),
        ("shared_cookies", {"sso"}),
        ("shared_cookies", None),
        ("callbacks", "oauth/callback"),
        ("callbacks", ["/"]),
        ("callbacks", ["/a", "https://tool.example/oauth/callback"]),
        ("callbacks", ["/a?b"]),
        ("callbacks", ["/a%20b"]),
        ("callbacks", [None]),
        ("ca_bundle", "/nowhere/ca.pem"),
    ],
)
def test_a_bad_value_names_its_setting(name, value):
    with pytest.raises(SettingsError, match=f"LTIAAS_{name.upper()}"):
        settings(**{name: value})


@pytest.mark.parametrize("name", ["service_keys", "cache"])
def test_a_missing_extra_is_named(name, monkeypatch):
    monkeypatch.setattr("ltiaas_middleware._setting_checks.find_spec", lambda package: None)
    value = {"service_keys": "sqlite:///keys.db", "cache": "redis://localhost"}[name]
    with pytest.raises(SettingsError, match=r"pip install 'ltiaas-middleware\["):
        settings(**{name: value})


def test_numbers_are_read_from_text():
    made = settings(ttl="60", max_launches="5")
    assert (made.ttl, made.max_launches) == (60.0, 5)


def test_from_env():
    env = {
        "LTIAAS_URL": "your.ltiaas.com",
        "LTIAAS_API_KEY": KEY,
        "LTIAAS_TTL": "30",
        "LTIAAS_ALLOW_ANONYMOUS": "TRUE",
        "LTIAAS_LTIK_HEADERS": "X-Ltik Authorization",
        "LTIAAS_REQUIRE": "no",
        "LTIAAS_LAUNCH_PATH": "off",
        "LTIAAS_SERVICE_KEYS": "Off",
        "LTIAAS_SECRETS": "the-first-secret-xx the-second-secret-x",
        "LTIAAS_SHARED_COOKIES": " sso  __Host-theme ",
        "LTIAAS_CA_BUNDLE": "",
    }
    made = Settings.from_env(env, ttl=31)
    assert (made.url, made.api_key) == (URL, KEY)
    assert (made.ttl, made.allow_anonymous, made.require) == (31, True, False)
    assert (made.launch_path, made.service_keys) == (None, None)
    assert made.ltik_headers == ("X-Ltik", "Authorization")
    assert len(made.signing_secrets) == 2
    assert made.ca_bundle is None
    assert made.shared_cookies == ("sso", "__Host-theme")


@pytest.mark.parametrize("text", ["sso=1", "sso,theme;x", "sso \xfc"])
def test_from_env_refuses_names_that_no_cookie_has(text):
    env = {"LTIAAS_URL": URL, "LTIAAS_API_KEY": KEY, "LTIAAS_SHARED_COOKIES": text}
    with pytest.raises(SettingsError, match="LTIAAS_SHARED_COOKIES"):
        Settings.from_env(env)


@pytest.mark.parametrize(
    ("given", "names"), [((), ()), ("sso", ("sso",)), (["a", "b"], ("a", "b"))]
)
def test_shared_cookies_are_one_name_or_several(given, names):
    assert settings(shared_cookies=given).shared_cookies == names


def test_from_env_takes_the_domain(monkeypatch):
    monkeypatch.setenv("LTIAAS_DOMAIN", "your.ltiaas.com")
    monkeypatch.setenv("LTIAAS_API_KEY", KEY)
    monkeypatch.delenv("LTIAAS_URL", raising=False)
    assert Settings.from_env().url == URL


@pytest.mark.parametrize("missing", ["LTIAAS_URL", "LTIAAS_API_KEY"])
def test_from_env_says_what_is_missing(missing):
    env = {"LTIAAS_URL": URL, "LTIAAS_API_KEY": KEY}
    del env[missing]
    with pytest.raises(SettingsError, match=missing):
        Settings.from_env(env)


def test_from_env_refuses_what_is_no_setting():
    with pytest.raises(SettingsError, match="unknown setting tll; valid settings: "):
        Settings.from_env({"LTIAAS_URL": URL, "LTIAAS_API_KEY": KEY}, tll=5)


def test_from_env_refuses_a_switch_that_is_neither():
    env = {"LTIAAS_URL": URL, "LTIAAS_API_KEY": KEY, "LTIAAS_IFRAME_SUPPORT": "maybe"}
    with pytest.raises(SettingsError, match="LTIAAS_IFRAME_SUPPORT"):
        Settings.from_env(env)


def test_a_settings_error_is_caught_as_any_error_of_ours():
    with pytest.raises(LTIAASError):
        settings(ttl=0)
    with pytest.raises(ValueError, match="ttl"):
        settings(ttl=0)


def test_settings_do_not_show_the_key_and_are_not_pickled():
    made = settings(secrets="a secret that is long")
    assert KEY not in repr(made)
    assert "a secret that is long" not in repr(made)
    for way in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="API key"):
            way(made)


def test_settings_are_frozen():
    with pytest.raises(AttributeError):
        settings().ttl = 1


def test_the_secret_is_the_api_key_by_default():
    assert settings().signing_secrets == (KEY,)
    assert settings(secrets="of-16-characters").signing_secrets == ("of-16-characters",)


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.evil.example", "10.0.0.1", "notlocalhost"])
def test_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url", ["https://a@b", "https://a\\b", "//a", "a", "https://a b", "https:/"]
)
def test_an_unclear_address_has_no_origin(url):
    assert origin_of(url) is None


def test_the_keywords_are_the_settings():
    """A type checker reads the one, Python the other."""
    given = {item.name: item.type for item in dataclasses.fields(Settings)}
    assert {name: hint.__forward_arg__ for name, hint in Options.__annotations__.items()} == given
    assert Options.__optional_keys__ == given.keys()


TYPED = """
from ltiaas_middleware import Settings, asgi, wsgi
from typing import Any

def application(environ: Any, start_response: Any) -> Any: ...
async def async_application(scope: Any, receive: Any, send: Any) -> None: ...

wsgi.LTIAASMiddleware(application, url="x", api_key="k", require=lambda path: True, secrets=["a"])
asgi.LTIAASMiddleware(app=async_application, url="x", path_style="below", ttl=5)
Settings.from_env(iframe_support=False)
"""
MISTYPED = """
wsgi.LTIAASMiddleware(application, launch_pth="/x")
asgi.LTIAASMiddleware(async_application, launch_pth="/x")
Settings.from_env(launch_pth="/x")
wsgi.LTIAASMiddleware(application, ttl="long")
asgi.LTIAASMiddleware(async_application, max_concurrent_calls="many")
Settings.from_env(require=5)
"""


@pytest.mark.slow
def test_a_misspelt_setting_fails_type_checking(tmp_path):
    file = tmp_path / "tool.py"
    file.write_text(TYPED + MISTYPED)
    options = ["--strict", "--no-error-summary", "--config-file", "", "--cache-dir", tmp_path / "c"]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, file], capture_output=True, text=True
    )
    assert not run.stderr
    first = TYPED.count("\n") + 2
    lines = [int(line.split(":")[1]) for line in run.stdout.splitlines() if ": error:" in line]
    assert lines == list(range(first, first + 6)), run.stdout


class TestTheTracebackOfAnErrorInTheAppsOwnCode:
    def error_of(self, raises: Any) -> BaseException:
        class Keys:
            """An object of the app's own; the middleware asks for its attributes."""

            def __getattribute__(self, name: str) -> Any:
                return raises()

        try:
            wsgi.LTIAASMiddleware(lambda *_: [], url=URL, api_key=KEY, service_keys=Keys())
        except Exception as error:  # noqa: BLE001 - the case decides which
            return error
        pytest.fail("nothing was raised")

    @pytest.mark.parametrize("kind", [TypeError, ValueError, KeyError])
    def test_stays_without_the_settings(self, kind: type[Exception]) -> None:
        def broken() -> None:
            raise kind("a bug of the app's")

        error = self.error_of(broken)
        stack = traceback.StackSummary.extract(
            traceback.walk_tb(error.__traceback__), capture_locals=True
        )
        assert [frame.name for frame in stack][-2:] == ["__getattribute__", "broken"]
        assert KEY not in repr([frame.locals for frame in stack])


@pytest.mark.parametrize("value", ["", "0", "true", "1"])
def test_plain_http_to_another_host_takes_a_switch_and_warns(value, monkeypatch, caplog):
    monkeypatch.setenv("LTIAAS_ALLOW_HTTP", value)
    if value != "1":
        with pytest.raises(SettingsError, match="must begin with https"):
            settings(url="http://ltiaas:8400")
        assert not caplog.records
        return
    assert settings(url="http://ltiaas:8400").url == "http://ltiaas:8400"
    assert "unset it in production" in caplog.text
    assert KEY not in caplog.text
    caplog.clear()
    assert settings().url == URL
    assert not caplog.records
