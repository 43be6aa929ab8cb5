from django.contrib import messages
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render

from ltiaas_middleware import require_launch


def landing(request):
    request.session["notes"] = ["Site-1"]
    get_token(request)
    return HttpResponse("<!doctype html><title>Welcome</title><h1>Welcome</h1>")


def notes(request):
    name = require_launch().id_token.user.name
    if request.method == "POST":
        request.session["notes"] = [*request.session.get("notes", []), request.POST["note"]]
        messages.success(request, f"{name} saved {request.POST['note']}")
        return redirect("notes")
    return render(request, "notes.html", {"name": name})
