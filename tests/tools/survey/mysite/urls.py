from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from questions import api, views
from rest_framework.routers import DefaultRouter

router = DefaultRouter()
router.register("answers", api.AnswerViewSet, basename="answer")

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="survey")),
    path("launch", views.survey, name="survey"),
    path("answer", views.answer, name="answer"),
    path("results", views.results, name="results"),
    path("api/", include(router.urls)),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]
