"""The secret is rotated while launches are under way (docs/howto/rotate-secrets.md)."""

from __future__ import annotations

import pytest
from werkzeug.test import Client

from ltiaas_middleware import current_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

pytestmark = pytest.mark.redis

OLD, NEW = "the old secret, long enough", "the new secret, long enough"
WORKERS = 4
NAVIGATION = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}


@pytest.fixture
def start(sandbox_server, redis_server):
    """Starts a worker with a list of secrets."""
    started = []

    def app(environ, start_response):
        launch = current_launch()
        start_response("200 OK" if launch else "401 Unauthorized", [])
        return [launch.id_token.user.id.encode() if launch else b""]

    def start(*secrets):
        started.append(
            LTIAASMiddleware(
                app,
                url=sandbox_server.url,
                api_key=sandbox_server.sandbox.api_key,
                secrets=secrets,
                cache=redis_server.url,
            )
        )
        return started[-1]

    yield start
    for middleware in started:
        middleware.close()


def ask(worker, path, cookie=None):
    headers = NAVIGATION | ({"Cookie": cookie} if cookie else {})
    return Client(worker, use_cookies=False).get(path, headers=headers)


class Launches:
    """Users who click about, each in whichever worker: some with cookies, some without."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.all = []
        self.pages = 0
        self.refused = 0

    def begin(self, worker):
        for keeps_cookies in (True, False):
            reply = ask(worker, f"/page?ltik={self.sandbox.issue()}")
            assert reply.status_code == 303
            cookie = reply.headers["Set-Cookie"].split(";")[0] if keeps_cookies else None
            self.all.append((reply.headers["Location"], cookie))

    def go_on(self, workers):
        for worker in workers:
            for path, cookie in self.all:
                self.pages += 1
                self.refused += ask(worker, path, cookie).status_code != 200


def roll(workers, start, secrets, launches):
    for number in range(WORKERS):
        workers[number] = start(*secrets)
        for worker in workers:
            launches.begin(worker)
        launches.go_on(workers)


def test_in_three_steps_nobody_is_turned_away(start, sandbox_server, record_figure):
    launches = Launches(sandbox_server.sandbox)
    workers = [start(OLD) for _ in range(WORKERS)]
    for worker in workers:
        launches.begin(worker)
    roll(workers, start, (OLD, NEW), launches)
    roll(workers, start, (NEW, OLD), launches)
    # A day later: what was launched before the second step is over.
    launches.all.clear()
    for worker in workers:
        launches.begin(worker)
    roll(workers, start, (NEW,), launches)
    record_figure(f"secret rotated: {launches.refused} of {launches.pages} pages refused")
    assert launches.refused == 0


def test_in_two_steps_some_are(start, sandbox_server, record_figure):
    """Why docs/howto/rotate-secrets.md has three: a worker not restarted yet knows no launch of
    one that has."""
    launches = Launches(sandbox_server.sandbox)
    workers = [start(OLD) for _ in range(WORKERS)]
    for worker in workers:
        launches.begin(worker)
    roll(workers, start, (NEW, OLD), launches)
    record_figure(f"in two steps: {launches.refused} of {launches.pages} pages refused")
    assert launches.refused > 0
