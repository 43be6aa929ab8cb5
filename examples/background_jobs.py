"""Send grades from a background job, with RQ or Celery: a request in a launch queues an
``ActivityKey``, and the job uses it to read the activity's service key. The browser may be closed
by then.

    pip install "ltiaas-middleware[sql]" flask redis rq celery
    export LTIAAS_URL=… LTIAAS_API_KEY=… LTIAAS_SERVICE_KEYS=sqlite:///keys.sqlite3
    export REDIS_URL=redis://localhost:6379
    flask --app background_jobs run
    rq worker --url $REDIS_URL                              # QUEUE=rq, the default
    celery --app background_jobs:celery worker              # QUEUE=celery
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from celery import Celery
from flask import Flask
from redis import Redis
from rq import Queue, Retry

from ltiaas_middleware import ActivityKey, ApiError, Score, ServiceKeyStore, require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

REDIS_URL = os.environ["REDIS_URL"]
CONFLICT = 409

app = Flask(__name__)
# With LTIAAS_SERVICE_KEYS, the middleware stores the service key of each launch.
app.wsgi_app = LTIAASMiddleware(app.wsgi_app)
celery = Celery("background_jobs", broker=REDIS_URL)


@app.get("/launch")
def launch():
    return '<form method="post" action="finish"><button>Finish</button></form>'


@app.post("/finish")
def finish():
    launch = require_launch()
    job = (launch.activity_key, launch.user_id, 8, datetime.now(timezone.utc).isoformat())
    if os.environ.get("QUEUE", "rq") == "rq":
        # RQ pickles the arguments; an ActivityKey contains no secret.
        retry = Retry(max=5, interval=[10, 60, 300])
        Queue(connection=Redis.from_url(REDIS_URL)).enqueue(send_score, *job, retry=retry)
    else:
        # Celery sends JSON, which turns the key into a list.
        celery.send_task("send_score", job)
    return "Your score is on its way.", 202


@celery.task(name="send_score", autoretry_for=(ApiError,), retry_backoff=10, max_retries=5)
def send_score_with_celery(key: list[Any], *args: Any) -> None:
    send_score(ActivityKey(*key), *args)


def send_score(key: ActivityKey, user_id: str, points: float, graded_at: str) -> None:
    """The job. It may run several times: the LMS counts scores with the same timestamp only
    once."""
    store = ServiceKeyStore.from_env()
    try:
        stored = store.get(key)
        if stored is None:
            raise LookupError(f"no service key is stored for {key}")
        score = Score(
            user_id=user_id,
            score_given=points,
            score_maximum=10,
            timestamp=datetime.fromisoformat(graded_at),
        )
        column = stored.api.column(
            tag="finish", label="Finished", score_maximum=10, resource_link_id=key.resource_link_id
        )
        stored.api.submit_score(column.id, score)
    except ApiError as error:
        if error.status == CONFLICT:
            return  # an earlier try arrived, but its response was lost
        if error.temporary:
            raise  # the queue runs the job again
        app.logger.error("LTIAAS or the LMS refused a score permanently: %s", error.summary)
    finally:
        store.close()
