"""The ASGI app that uvicorn serves: events, an echo in lock-step, a chat completions API, a page for a browser."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

import page

GAP = 0.05


async def events(request: Request) -> Response:
    """Server-sent events, each with its number and the time on this machine's monotonic clock."""
    count = int(request.query_params.get("count", "20"))

    async def stream() -> AsyncIterator[str]:
        for number in range(count):
            if number:
                await asyncio.sleep(GAP)
            yield f"id: {number}\ndata: {time.monotonic()}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers each piece of the request before it waits for the next."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        if message["body"]:
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class Echo:
    """A class, so that Starlette takes it for an ASGI app."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)


async def completions(request: Request) -> Response:
    """Answers in the words of the question, streamed as they are "thought of" or all at once."""
    if request.headers.get("authorization") != "Bearer sk-test":
        return JSONResponse({"error": {"message": "wrong key", "code": "invalid_api_key"}}, 401)
    asked = await request.json()
    words = asked["messages"][-1]["content"].split(" ")
    frame = {"id": "chatcmpl-1", "created": int(time.time()), "model": asked["model"]}
    if not asked.get("stream"):
        message = {"role": "assistant", "content": " ".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse({**frame, "object": "chat.completion", "choices": [choice]})

    def chunk(delta: dict[str, str], reason: str | None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        part = {**frame, "object": "chat.completion.chunk", "choices": [choice], "sent": time.monotonic()}
        return f"data: {json.dumps(part)}\n\n"

    async def stream() -> AsyncIterator[str]:
        for number, word in enumerate(words):
            yield chunk({"role": "assistant", "content": word if number == 0 else f" {word}"}, None)
            await asyncio.sleep(GAP)
        yield chunk({}, "stop")
        yield "data: [DONE]\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


async def index(request: Request) -> Response:
    response = HTMLResponse(page.HTML)
    response.set_cookie("plain", "one")
    response.set_cookie("secret", "two", httponly=True, samesite="strict")
    return response


async def style(request: Request) -> Response:
    return Response(page.CSS, media_type="text/css")


async def script(request: Request) -> Response:
    return Response(page.SCRIPT, media_type="text/javascript")


async def image(request: Request) -> Response:
    return Response(page.image(), media_type="image/png")


async def form(request: Request) -> Response:
    async with request.form() as fields:
        upload = fields["file"]
        assert not isinstance(upload, str)
        content = await upload.read()
        return PlainTextResponse(f"{fields['name']}|{upload.filename}|{len(content)}")


async def cookies(request: Request) -> Response:
    return JSONResponse(request.cookies)


async def redirect(request: Request) -> Response:
    return Response(status_code=303, headers={"location": "/cookies"})


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if (text := message.get("text")) is not None:
                await websocket.send_text(text)
            else:
                await websocket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        pass


app = Starlette(
    routes=[
        Route("/events", events),
        Route("/echo", Echo(), methods=["POST"]),
        Route("/v1/chat/completions", completions, methods=["POST"]),
        Route("/", index),
        Route("/style.css", style),
        Route("/script.js", script),
        Route("/image.png", image),
        Route("/form", form, methods=["POST"]),
        Route("/cookies", cookies),
        Route("/redirect", redirect),
        WebSocketRoute("/socket", socket),
    ]
)
