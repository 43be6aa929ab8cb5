from django.contrib import admin

from .models import Answer

admin.site.register(Answer, list_display=["user", "course", "text"])
