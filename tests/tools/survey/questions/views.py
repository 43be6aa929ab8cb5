from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from ltiaas_middleware import ApiError, Launch, Score, require_launch

from .middleware import ADMINISTRATOR
from .models import Answer

TEACHERS = ("Instructor", "TeachingAssistant")


class AnswerForm(forms.Form):
    text = forms.CharField(min_length=3)


def course_of(launch: Launch) -> str:
    return "/".join(map(str, launch.activity_key[:2]))


def survey(request: HttpRequest) -> HttpResponse:
    launch = require_launch()
    if launch.has_role(*TEACHERS):
        return redirect("results")
    if ADMINISTRATOR in launch.id_token.user.roles:
        return redirect("admin:index")
    launch.require_role("Learner")
    return render(request, "survey.html", {"launch": launch, "form": AnswerForm()})


@require_POST
def answer(request: HttpRequest) -> HttpResponse:
    """Save it, and report that the student took part."""
    launch = require_launch()
    launch.require_role("Learner")
    form = AnswerForm(request.POST)
    if not form.is_valid():
        return render(request, "survey.html", {"launch": launch, "form": form}, status=400)
    Answer.objects.update_or_create(
        user=request.user, course=course_of(launch), defaults={"text": form.cleaned_data["text"]}
    )
    messages.success(request, "Your answer is saved.")
    column = launch.id_token.services.assignment_and_grades.line_item_id
    if column is not None:
        score = Score(user_id=launch.user_id, score_given=1, score_maximum=1)
        try:
            launch.api.submit_score(column, score)
        except ApiError as error:
            messages.warning(request, f"Your LMS did not take the point: {error.lms_message}")
    return redirect("survey")


def results(request: HttpRequest) -> HttpResponse:
    launch = require_launch()
    launch.require_role(*TEACHERS)
    found = Answer.objects.filter(course=course_of(launch)).select_related("user")
    return render(request, "results.html", {"launch": launch, "answers": found})
