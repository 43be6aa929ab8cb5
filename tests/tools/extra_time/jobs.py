"""What runs in ``rq worker``, when the browser may be long gone."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from authlib.integrations.requests_client import OAuth2Session

from ltiaas_middleware import ActivityKey, GlobalUserId, Score, ServiceKeyStore

from .storage import Storage


def extend(
    key: ActivityKey, teacher: GlobalUserId, course: str, users: list[str], percent: int
) -> dict[str, Any]:
    """Tell Canvas, as the teacher, who has more time; only students of the course get any."""
    keys, storage = ServiceKeyStore.from_env(), Storage(os.environ["DATABASE_URL"])
    try:
        stored = keys.get(key)
        if stored is None:
            raise LookupError(f"no service key is stored for {key}")
        enrolled = {member.user_id for member in stored.api.members()}
        chosen = sorted(enrolled & set(users))
        with _canvas(storage, teacher) as canvas:
            answer = canvas.post(
                f"{os.environ['CANVAS_API_URL']}/api/v1/courses/{course}/quiz_extensions",
                json={"user_ids": chosen, "extra_percent": percent},
            )
            answer.raise_for_status()
        storage.give("/".join(map(str, key[:2])), chosen, percent)
        return {"given": chosen, "not enrolled": sorted(set(users) - enrolled)}
    finally:
        keys.close()
        storage.close()


def _canvas(storage: Storage, teacher: GlobalUserId) -> OAuth2Session:
    """Canvas's API for a teacher; a token that has expired is refreshed, and the new one kept."""

    def refreshed(token: dict[str, Any], **_: Any) -> None:
        storage.keep_token(teacher, token)

    return OAuth2Session(
        "extra-time",
        "a secret of the developer key",
        token_endpoint_auth_method="client_secret_post",
        token_endpoint=f"{os.environ['CANVAS_API_URL']}/login/oauth2/token",
        token=storage.token(teacher),
        update_token=refreshed,
    )


def confirm(key: ActivityKey, user_id: str, confirmed_at: str) -> None:
    """Show in the gradebook that a student has read about their time."""
    keys = ServiceKeyStore.from_env()
    try:
        stored = keys.get(key)
        if stored is None:
            raise LookupError(f"no service key is stored for {key}")
        column = stored.api.column(tag="extra-time", label="Extra time: read", score_maximum=1)
        moment = datetime.fromisoformat(confirmed_at)
        score = Score(user_id=user_id, score_given=1, score_maximum=1, timestamp=moment)
        stored.api.submit_score(column.id, score)
    finally:
        keys.close()
