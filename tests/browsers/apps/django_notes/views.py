from django.contrib import messages
from django.shortcuts import redirect, render

from ltiaas_middleware import require_launch


def notes(request):
    name = require_launch().id_token.user.name
    if request.method == "POST":
        request.session["notes"] = [*request.session.get("notes", []), request.POST["note"]]
        messages.success(request, f"{name} saved {request.POST['note']}")
        return redirect("notes")
    return render(request, "notes.html", {"name": name})
