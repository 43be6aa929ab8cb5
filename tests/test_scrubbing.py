from __future__ import annotations

import json
import logging
import re

import pytest

from ltiaas_middleware import Settings, _secret_patterns
from ltiaas_middleware.scrubbing import LOGGERS, LtikFilter, install, know, scrub

JWS = "eyJhbGciOiAiSFMyNTYifQ.eyJpYXQiOiAxfQ.vOGrOjrACq-NAikvz34UTInA-0olQjd7czeJZE22cJ4"


@pytest.mark.parametrize(
    ("line", "scrubbed"),
    [
        ("GET /launch?ltik=a.b.c HTTP/1.1", "GET /launch?ltik=[hidden] HTTP/1.1"),
        ('"GET /x?a=1&ltik=a.b.c&b=2"', '"GET /x?a=1&ltik=[hidden]&b=2"'),
        ("LTIK=a.b.c", "LTIK=[hidden]"),
        ("/login?next=/launch%3Fltik%3Da.b.c", "/login?next=/launch%3Fltik%3D[hidden]"),
        ("ltik%253Da.b.c", "ltik%253D[hidden]"),
        ("Authorization: LTIK-AUTH-V2 key:a.b.c", "Authorization: LTIK-AUTH-V2[hidden]"),
        ("SERVICE-AUTH-V1 key:sk rest", "SERVICE-AUTH-V1[hidden] rest"),
        (
            "LTIK-AUTH-V1 Token=a.b.c, Additional=Bearer key end",
            "LTIK-AUTH-V1[hidden] end",
        ),
        ("__Secure-ltiaas-launch=a.b.c; x=1", "__Secure-ltiaas-launch=[hidden]; x=1"),
        ("__Secure-ltiaas-launch-tab=a.b.c; x", "__Secure-ltiaas-launch-tab=[hidden]; x"),
        ("/lti/A/x?ltiaas_one_time=abc&b=1", "/lti/A/x?ltiaas_one_time=[hidden]&b=1"),
        # As a repr or JSON shows them.
        ("{'ltik': 'a.b.c', 'a': 1}", "{'ltik': '[hidden]', 'a': 1}"),
        ('{"api_key": "abc", "a": 1}', '{"api_key": \'[hidden]\', "a": 1}'),
        ("[('ltik', 'a.b.c'), ('a', 'b')]", "[('ltik', '[hidden]'), ('a', 'b')]"),
        ("query_string=b'a=1&ltik=a.b.c'", "query_string=b'a=1&ltik=[hidden]'"),
        ("serviceKey='abc'", "serviceKey='[hidden]'"),
        (
            r'"{\"serviceKey\": \"abc\", \"a\": 1}"',
            r'''"{\"serviceKey\": \'[hidden]', \"a\": 1}"''',
        ),
        (json.dumps({"api_key": "abc"}, indent=1), "{\n \"api_key\": '[hidden]'\n}"),
        ('{"serviceKey" :\n"abc"}', "{\"serviceKey\" :\n'[hidden]'}"),
        # As JSON and JavaScript escape them.
        (r"/launch?ltik\u003Da.b.c\u0026b=2", r"/launch?ltik\u003D[hidden]"),
        (r"'token:\neyJhbGciOiAiSFMyNTYifQ.e30.abc'", r"'token:\n[hidden]'"),
        (rf"a\u003d{JWS}\t{JWS}", r"a\u003d[hidden]\t[hidden]"),
        (rf"next=\x26{JWS}", r"next=\x26[hidden]"),
        # An ltik without a name, and cut off.
        (f"token {JWS} end", "token [hidden] end"),
        (f"token {JWS[:40]}", "token [hidden]"),
        (f"Authorization: Bearer {JWS}", "Authorization: Bearer [hidden]"),
        ("Authorization: Bearer 7d1c3f0e-0000", "Authorization: Bearer [hidden]"),
        # Its dots percent-encoded, and broken over lines.
        (JWS.replace(".", "%2E"), "[hidden]"),
        (f"%253Fa%253D{JWS.replace('.', '%252e')} end", "%253Fa%253D[hidden] end"),
        (f"ltik={JWS[:30]}\n{JWS[30:]} end", "ltik=[hidden] end"),
        (f"legacy-ltik={JWS[:50]}%0d%0a{JWS[50:]}&b=2", "legacy-ltik=[hidden]&b=2"),
        (f'{{"q": "{JWS[:40]}\\n{JWS[40:]}"}}', '{"q": "[hidden]"}'),
        (JWS.replace(".", "\n."), "[hidden]"),
        (
            f"Location: /x?ltik={JWS}\r\nHost: tool.example",
            "Location: /x?ltik=[hidden]\r\nHost: tool.example",
        ),
        ("the bearer of this", "the bearer of this"),
        ("nothing to see", "nothing to see"),
        ("/lti/AAAAAAAAAAAAAAAAAAAAAA/x", "/lti/AAAAAAAAAAAAAAAAAAAAAA/x"),
    ],
)
def test_what_is_taken_out(line, scrubbed):
    assert scrub(line) == scrubbed


@pytest.fixture
def logger():
    logger = logging.Logger("some.access")
    logger.addFilter(LtikFilter())
    lines = []

    class Lines(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    logger.addHandler(Lines())
    logger.lines = lines
    return logger


def test_a_message_and_its_arguments(logger):
    logger.info("GET ?ltik=a.b.c %s %d %s", "/x?ltik=a.b.c", 200, None)
    assert logger.lines == ["GET ?ltik=[hidden] /x?ltik=[hidden] 200 None"]


def test_arguments_that_are_made_up_when_asked_for(logger):
    class Atoms(dict):
        """As gunicorn's."""

        def __getitem__(self, key):
            return super().get(key, f"made up {key} ltik=a.b.c")

    logger.info('%(r)s %(s)s "%({referer}i)s"', Atoms(r="GET /?ltik=a.b.c", s=200))
    assert logger.lines == ['GET /?ltik=[hidden] 200 "made up {referer}i ltik=[hidden]"']


def test_a_hostile_header_is_read_in_one_go():
    # With a regular expression that tries every way to part the spaces this is a matter of hours.
    for blank in (" ", "\t", " ,"):
        assert scrub("LTIK-AUTH-V2 x" + blank * 500_000 + "y").startswith("LTIK-AUTH-V2[hidden]")


@pytest.mark.parametrize("part", ["ltik=", "eyJ", "ltik:' ", "Bearer ", "ltik ", "LTIK-AUTH-V2 "])
def test_hostile_repetition_is_read_in_one_go(part):
    scrub(part * 200_000)


class TestTheNamesOfTheSettings:
    """Servers write what they are told to: headers and cookies of any name."""

    @pytest.fixture(autouse=True)
    def known(self):
        know(
            Settings(
                url="https://your.ltiaas.com",
                api_key="7d1c3f0e-0000-4000-8000-00000000abcd",
                secrets="a-secret-of-its-own-4711",
                cookie_name="quiz.launch",
                ltik_headers=["X-Quiz-Token", "Authorization"],
                cache="redis://:a-redis%40password-0815@redis.example:6379/0",
                service_keys="postgresql://tool:a-database-password@db.example/keys",
            )
        )

    @pytest.mark.parametrize(
        ("line", "scrubbed"),
        [
            ("a=1; __Secure-quiz.launch=a.b.c; b=2", "a=1; __Secure-quiz.launch=[hidden]; b=2"),
            ("quizXlaunch=a.b.c", "quizXlaunch=a.b.c"),
            ("X-Quiz-Token: a.b.c end", "X-Quiz-Token: [hidden] end"),
            ("(b'x-quiz-token', b'a.b.c')", "(b'x-quiz-token', b'[hidden]')"),
            ("{'HTTP_X_QUIZ_TOKEN': 'a.b.c'}", "{'HTTP_X_QUIZ_TOKEN': '[hidden]'}"),
            ("key 7d1c3f0e-0000-4000-8000-00000000abcd!", "key [hidden]!"),
            (
                "['SERVICE-AUTH-V1', '7d1c3f0e-0000-4000-8000-00000000abcd:sk-a-service-key']",
                "['SERVICE-AUTH-V1', '[hidden]']",
            ),
            ("7d1c3f0e-0000-4000-8000-00000000abcd: a word", "[hidden]: a word"),
            ("secret a-secret-of-its-own-4711!", "secret [hidden]!"),
            ("redis://:a-redis%40password-0815@redis.example", "redis://:[hidden]@redis.example"),
            ("AUTH a-redis@password-0815", "AUTH [hidden]"),
            ("tool:a-database-password@db.example", "tool:[hidden]@db.example"),
        ],
    )
    def test_are_taken_out(self, line, scrubbed):
        assert scrub(line) == scrubbed

    def test_in_gunicorns_header_atoms(self, logger):
        class Atoms(dict):
            def __getitem__(self, key):
                return super().get(key, "-")

        atoms = Atoms(
            {
                "{x-quiz-token}i": "a.b.c",
                "{cookie}i": "quiz.launch=a.b.c; a=1",
                "{authorization}i": f"Bearer {JWS}",
                "{x-other}i": "kept",
            }
        )
        logger.info(
            "%({x-quiz-token}i)s|%({cookie}i)s|%({authorization}i)s|%({x-other}i)s|%({no}i)s", atoms
        )
        assert logger.lines == ["[hidden]|quiz.launch=[hidden]; a=1|Bearer [hidden]|kept|-"]


@pytest.mark.parametrize(
    ("service_keys", "shown"),
    [
        ("postgresql://tool:a[database]password@db/keys", "a[database]password"),
        ("postgresql://tool:a/database/password@db/keys", "a/database/password"),
        ("postgresql://tool:a\u2100database-password@db/keys", "a\u2100database-password"),
        ("postgresql://tool:a%2Fdatabase+password@db/keys", "a%2Fdatabase%2Bpassword"),
        ("postgresql://tool@db/keys?password=a-parameters-password", "a-parameters-password"),
        ("postgresql://tool@db/keys?x=1&sslpassword=a-database%20password", "a-database password"),
    ],
)
def test_a_password_is_hidden_wherever_it_is_in_a_url(service_keys, shown):
    know(Settings(url="your.ltiaas.com", api_key="a-key-0123456789", service_keys=service_keys))
    assert scrub(f"failed for {shown}!") == "failed for [hidden]!"


def test_a_short_password_is_not_looked_for_in_words():
    key = "7d1c3f0e-0000-4000-8000-00000000abcd"
    know(Settings(url="your.ltiaas.com", api_key=key, cache="redis://:brief@redis.example"))
    assert scrub("a brief word") == "a brief word"


def test_arguments_that_are_no_text(logger):
    """uvicorn's trace level logs the scope."""
    scope = {"query_string": b"ltik=a.b.c&a=1", "headers": [(b"x", b"1")]}
    kept = {"a": 1}
    logger.info("%s %r %s %d %.1f", scope, ["ltik=a.b.c"], kept, 5, 0.5)
    line = "{'query_string': b'ltik=[hidden]&a=1', 'headers': [(b'x', b'1')]} ['ltik=[hidden]']"
    assert logger.lines == [f"{line} {{'a': 1}} 5 0.5"]
    assert scope["query_string"] == b"ltik=a.b.c&a=1"


def test_an_argument_that_holds_nothing_stays_itself():
    kept = {"a": 1}
    record = logging.LogRecord("x", 20, "x", 1, "%s %s", (kept, "ltik=a.b.c"), None)
    assert LtikFilter().filter(record)
    assert record.args[0] is kept


def test_what_is_not_written_is_not_scrubbed(logger):
    class Atoms(dict):
        def __getitem__(self, key):
            assert key == "r"
            return "GET /?ltik=a.b.c"

    logger.info("%(r)s", Atoms(r="", other=""))
    assert logger.lines == ["GET /?ltik=[hidden]"]


def test_a_message_that_is_no_text(logger):
    logger.info(["ltik"])
    logger.info({"ltik": "a.b.c"})
    logger.info("%s", ("a", "b"))
    assert logger.lines[:2] == ["['ltik']", "{'ltik': '[hidden]'}"]


def test_it_stands_once_on_every_known_logger():
    install()
    install()
    for name in LOGGERS:
        found = [f for f in logging.getLogger(name).filters if isinstance(f, LtikFilter)]
        assert len(found) == 1


def test_a_secret_is_hidden_in_its_own_case_only(monkeypatch):
    monkeypatch.setattr(_secret_patterns, "_secrets", {"a-secret-of-its-own"})
    monkeypatch.setattr(_secret_patterns, "_patterns", _secret_patterns._compiled())
    assert scrub("a-secret-of-its-own A-SECRET-OF-ITS-OWN") == "[hidden] A-SECRET-OF-ITS-OWN"


@pytest.mark.parametrize("name", ["LT\u0130K", "\u017fervice_\u212aey", "ap\u0131-key"])
def test_a_name_is_recognized_as_re_ignores_case(name):
    assert scrub(f"{name}=abc") == f"{name}=[hidden]"


def once(text):
    return "".join(f"%{ord(each):02X}" if each in ".=&?" else each for each in text)


@pytest.mark.parametrize(
    "written",
    [
        *(str, once, lambda text: once(text).replace("%", "%25")),
        *(lambda text: once(text).lower(), lambda text: json.dumps(json.dumps({"q": text}))),
        *(lambda text: repr(text.encode()), lambda text: text.replace(".", ".\r\n ")),
        lambda text: "\n".join(text[i : i + 60] for i in range(0, len(text), 60)),
        lambda text: json.dumps(json.dumps(text.replace(".", ".\n"))),
        lambda text: once(text).replace("%2E", "%2E%0A"),
        lambda text: re.sub("[.=&?]", lambda found: f"\\\\u{ord(found[0]):04x}", text),
    ],
    ids=[
        "plain",
        "once",
        "twice",
        "lower case",
        "JSON in JSON",
        "repr",
        "folded",
        "wrapped",
        "folded in JSON",
        "encoded",
        "escaped",
    ],
)
@pytest.mark.parametrize("name", ["ltik", "legacy-ltik", "ltiaas_one_time", "x"])
def test_no_part_of_an_ltik_is_left_however_it_is_written(name, written):
    shown = scrub(written(f"/launch?{name}={JWS}"))
    assert not [part for part in JWS.split(".")[1:] if part[:8] in shown or part[-8:] in shown]
