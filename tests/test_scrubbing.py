from __future__ import annotations

import logging

import pytest

from ltiaas_middleware.scrubbing import LOGGERS, LtikFilter, install, scrub


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
        ("/lti/A/x?ltiaas_handoff=abc&b=1", "/lti/A/x?ltiaas_handoff=[hidden]&b=1"),
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


def test_what_is_not_written_is_not_scrubbed(logger):
    class Atoms(dict):
        def __getitem__(self, key):
            assert key == "r"
            return "GET /?ltik=a.b.c"

    logger.info("%(r)s", Atoms(r="", other=""))
    assert logger.lines == ["GET /?ltik=[hidden]"]


def test_a_message_that_is_no_text(logger):
    logger.info(["ltik"])
    logger.info("%s", ("a", "b"))
    assert logger.lines[0] == "['ltik']"


def test_it_stands_once_on_every_known_logger():
    install()
    install()
    for name in LOGGERS:
        found = [f for f in logging.getLogger(name).filters if isinstance(f, LtikFilter)]
        assert len(found) == 1


def test_it_can_be_left_off(upstream, monkeypatch):
    from ltiaas_middleware._gate import assembly
    from ltiaas_middleware.wsgi import LTIAASMiddleware

    installed = []
    monkeypatch.setattr(assembly.scrubbing, "install", lambda: installed.append(1))
    options = {"url": "https://your.ltiaas.com", "api_key": "k"}
    LTIAASMiddleware(None, scrub_logs=False, **options)
    assert not installed
    LTIAASMiddleware(None, **options)
    assert installed
