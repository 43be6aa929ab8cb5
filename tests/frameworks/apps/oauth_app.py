"""A Flask tool that signs its users in elsewhere as OAuth libraries do: it keeps ``state`` in the
app's session, and raises if the callback's session holds another one (Authlib's
``MismatchingStateError``)."""

from __future__ import annotations

import os
import secrets
from urllib.parse import urlencode

import requests
from flask import Flask, redirect, request, session

from ltiaas_middleware import require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

PROVIDER = os.environ["PROVIDER"]

app = Flask(__name__)
app.secret_key = "the-secret-of-a-session-0123456789"
site = LTIAASMiddleware(app, callbacks=["/oauth/callback"], require=["/launch", "/oauth"])


@app.get("/")
def index():
    return ""


@app.get("/launch")
def home():
    return require_launch().one_time_url("/connect")


@app.get("/connect")
def authorize_redirect():
    state = session["state"] = secrets.token_urlsafe()
    redirect_uri = session["redirect_uri"] = require_launch().outside_url("/oauth/callback")
    query = {"response_type": "code", "redirect_uri": redirect_uri, "state": state}
    return redirect(f"{PROVIDER}/authorize?{urlencode(query)}")


@app.get("/oauth/callback")
def authorize_access_token():
    if "state" not in session or session.pop("state") != request.args["state"]:
        return "MismatchingStateError", 400
    data = {"code": request.args["code"], "redirect_uri": session.pop("redirect_uri")}
    answer = requests.post(f"{PROVIDER}/token", data=data, timeout=10)
    return {"token": answer.json()["access_token"], "user": require_launch().user_id}
