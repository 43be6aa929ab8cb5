from django.conf import settings
from django.db import models


class Answer(models.Model):
    """What one student says in one course."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    course = models.CharField(max_length=255)
    text = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "course"], name="one_answer_for_each_course")
        ]

    def __str__(self) -> str:
        return f"{self.user.first_name}: {self.text}"
