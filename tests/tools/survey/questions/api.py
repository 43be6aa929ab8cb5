from django.db.models import QuerySet
from rest_framework import permissions, serializers, viewsets

from ltiaas_middleware import require_launch

from .models import Answer
from .views import TEACHERS, course_of


class AnswerSerializer(serializers.ModelSerializer):
    name = serializers.CharField(source="user.first_name", read_only=True)

    class Meta:
        model = Answer
        fields = ("id", "name", "text")


class MayChange(permissions.BasePermission):
    """Assistants read everything and delete nothing; students work on their own."""

    def has_permission(self, request, view) -> bool:
        launch = require_launch()
        if request.method in permissions.SAFE_METHODS:
            return True
        if launch.has_role("TeachingAssistant"):
            return False
        return launch.has_role("Instructor") == (request.method == "DELETE")


class AnswerViewSet(viewsets.ModelViewSet):
    serializer_class = AnswerSerializer
    permission_classes = (permissions.IsAuthenticated, MayChange)

    def get_queryset(self) -> QuerySet[Answer]:
        launch = require_launch()
        found = Answer.objects.filter(course=course_of(launch)).order_by("id")
        return found if launch.has_role(*TEACHERS) else found.filter(user=self.request.user)

    def perform_create(self, serializer: AnswerSerializer) -> None:
        serializer.save(user=self.request.user, course=course_of(require_launch()))
