from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import path
from notes import views

urlpatterns = [
    path("", views.landing),
    path("admin/", admin.site.urls),
    path("launch", views.notes, name="notes"),
    *staticfiles_urlpatterns(),
]
