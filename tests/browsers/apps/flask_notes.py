"""Flask's session and messages, a Flask-WTF form, and Flask-Login's user kept in the session.

The environment's ``SESSION_COOKIE_NAME`` names the session's cookie, which is ``Secure`` then.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, flash, redirect, render_template_string, session, url_for
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import DataRequired

from ltiaas_middleware import require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

app = Flask(__name__)
app.secret_key = "a key of the tests"
if "SESSION_COOKIE_NAME" in os.environ:
    app.config["SESSION_COOKIE_NAME"] = os.environ["SESSION_COOKIE_NAME"]
    app.config["SESSION_COOKIE_SECURE"] = True
login_manager = LoginManager(app)

PAGE = """<!doctype html>
<title>Notes</title><link rel="icon" href="data:,">
<h1>Notes of {{ current_user.id }}</h1>
{% for message in get_flashed_messages() %}<p id="message">{{ message }}</p>{% endfor %}
<ul id="notes">{% for note in session.get("notes", []) %}<li>{{ note }}</li>{% endfor %}</ul>
<form method="post">{{ form.hidden_tag() }}{{ form.note() }}<button id="save">Save</button></form>
"""


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


class NoteForm(FlaskForm):
    note = StringField(validators=[DataRequired()])


@login_manager.user_loader
def load_user(name: str) -> User:
    return User(name)


@app.get("/")
def landing() -> str:
    login_user(User("the site"))
    session["notes"] = ["Site-1"]
    return "<!doctype html><title>Welcome</title><h1>Welcome</h1>"


@app.route("/launch", methods=["GET", "POST"])
def launch() -> Any:
    if not current_user.is_authenticated:
        login_user(User(require_launch().id_token.user.name or "nobody"))
    # As it stands in many an app: an address that is written down, and leaves the launch.
    return redirect("/notes")


@app.route("/notes", methods=["GET", "POST"])
@login_required
def notes() -> Any:
    form = NoteForm()
    if form.validate_on_submit():
        session["notes"] = [*session.get("notes", []), form.note.data]
        flash(f"{current_user.id} saved {form.note.data}")
        return redirect(url_for("notes"))
    return render_template_string(PAGE, form=form)


app.wsgi_app = LTIAASMiddleware(app.wsgi_app)
