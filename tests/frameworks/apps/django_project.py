"""Settings, URLs and views of a Django project, shared by its WSGI and its ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_exempt

from ltiaas_middleware import require_launch

from .contract import chunk, recorded, report


def carried(request: Any) -> Any:
    where = request.scope if isinstance(request, ASGIRequest) else request.environ
    return where.get("ltiaas.launch")


def seen(request: Any, to: str = "first", /, **more: Any) -> dict[str, Any]:
    return report(carried(request), link=reverse("item", args=[to]), **more)


def home(request: Any) -> Any:
    return HttpResponse("home")


@csrf_exempt
def launch(request: Any) -> Any:
    query = request.META["QUERY_STRING"]
    return JsonResponse(seen(request, query=query, form=request.POST.get("answer")))


def item(request: Any, name: str) -> Any:
    return JsonResponse(seen(request, name, name=name))


def folder(request: Any) -> Any:
    return JsonResponse(seen(request))


def go(request: Any) -> Any:
    return redirect("item", "first")


def sync_view(request: Any) -> Any:
    return JsonResponse(seen(request))


async def async_view(request: Any) -> Any:
    return JsonResponse(seen(request))


def stream(request: Any) -> Any:
    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield chunk()

    async def async_chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield chunk()

    over_asgi = isinstance(request, ASGIRequest)
    return StreamingHttpResponse(async_chunks() if over_asgi else chunks())


def later(request: Any) -> Any:
    key = request.GET["key"]
    response = HttpResponse("begun")
    close = response.close

    def on_close() -> None:
        recorded.record(key, "close")
        close()

    response.close = on_close  # type: ignore[method-assign]
    return response


async def read_recorded(request: Any) -> Any:
    # Not in Django's one thread for synchronous code: it would keep out what is waited for.
    found = await sync_to_async(recorded.wait, thread_sensitive=False)(request.GET["key"])
    return JsonResponse(found, safe=False)


def required(request: Any) -> Any:
    return JsonResponse(seen(request, required=require_launch().id))


urlpatterns = [
    path("", home),
    path("launch", launch),
    path("items/<path:name>", item, name="item"),
    path("folder/", folder),
    path("go", go),
    path("views/sync", sync_view),
    path("views/async", async_view),
    path("stream", stream),
    path("later", later),
    path("recorded", read_recorded),
    path("required", required),
]

settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="a key of the tests",
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    USE_TZ=True,
)
django.setup()
