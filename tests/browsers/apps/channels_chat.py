"""The chat of Channels' tutorial, in one file: a room's page opens an absolute websocket address.

The tutorial writes ``ws://``, which no browser opens from a page over TLS.
"""

from __future__ import annotations

import json
from typing import Any

import django
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path, re_path

from ltiaas_middleware import require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

INDEX = """<!doctype html>
<title>Chat rooms</title><link rel="icon" href="data:,">
<h1>Rooms</h1>
<input id="room-name-input"><input id="room-name-submit" type="button" value="Enter">
<script>
document.querySelector("#room-name-submit").onclick = function (e) {
  var roomName = document.querySelector("#room-name-input").value;
  window.location.pathname = "/chat/" + roomName + "/";
};
</script>
"""
ROOM = """<!doctype html>
<title>Chat room</title><link rel="icon" href="data:,">
<h1>Room of {user}</h1>
<textarea id="chat-log" cols="100" rows="20"></textarea><br>
<input id="chat-message-input"><input id="chat-message-submit" type="button" value="Send">
<script>
const roomName = "{room}";
const chatSocket = new WebSocket("wss://" + window.location.host + "/ws/chat/" + roomName + "/");
chatSocket.onmessage = function (e) {{
  const data = JSON.parse(e.data);
  document.querySelector("#chat-log").value += (data.message + "\\n");
}};
chatSocket.onopen = () => document.body.dataset.ready = "yes";
chatSocket.onclose = function (e) {{ console.error("Chat socket closed unexpectedly"); }};
document.querySelector("#chat-message-submit").onclick = function (e) {{
  const messageInputDom = document.querySelector("#chat-message-input");
  chatSocket.send(JSON.stringify({{"message": messageInputDom.value}}));
  messageInputDom.value = "";
}};
</script>
"""


def index(request: Any) -> HttpResponse:
    return HttpResponse(INDEX)


def room(request: Any, room_name: str) -> HttpResponse:
    user = require_launch().id_token.user.name
    return HttpResponse(ROOM.format(room=room_name, user=user))


class ChatConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        launch = self.scope.get("ltiaas.launch")
        self.user = launch.id_token.user.name if launch else "nobody"
        self.room_group_name = f"chat_{self.scope['url_route']['kwargs']['room_name']}"
        await self.channel_layer.group_add(self.room_group_name, self.channel_name)
        await self.accept()

    async def disconnect(self, close_code: int) -> None:
        await self.channel_layer.group_discard(self.room_group_name, self.channel_name)

    async def receive(self, text_data: str) -> None:
        message = f"{self.user} saved {json.loads(text_data)['message']}"
        event = {"type": "chat.message", "message": message}
        await self.channel_layer.group_send(self.room_group_name, event)

    async def chat_message(self, event: dict[str, str]) -> None:
        await self.send(text_data=json.dumps({"message": event["message"]}))


settings.configure(
    SECRET_KEY="a key of the tests",
    ALLOWED_HOSTS=["tool.vendor.test", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["channels", "django.contrib.auth", "django.contrib.contenttypes"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

urlpatterns = [path("launch", index), path("chat/<str:room_name>/", room)]
websocket_urlpatterns = [re_path(r"ws/chat/(?P<room_name>\w+)/$", ChatConsumer.as_asgi())]

app = LTIAASMiddleware(
    ProtocolTypeRouter(
        {
            "http": get_asgi_application(),
            "websocket": AllowedHostsOriginValidator(
                AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
            ),
        }
    )
)
