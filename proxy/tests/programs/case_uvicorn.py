"""uvicorn with Starlette: server-sent events, an upload that is answered piece by piece, the OpenAI client."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import h11
import httpx
import openai

from harness import EVENTS, HERE, Context, Link, check, equal, free_port, live, plain_environment, shortened


def start(context: Context) -> int:
    port = free_port()
    options = ["--port", str(port), "--log-level", "warning", "--app-dir", HERE]
    uvicorn = context.program("uvicorn", [sys.executable, "-m", "uvicorn", *options, "app_asgi:app"])
    uvicorn.wait_for_port(port)
    return port


def run(context: Context) -> None:
    with context.link(start(context)) as link:
        context.step("events, httpx", lambda: live(httpx_events(link)))
        for option in ["--http1.1"] + ([] if link.direct else ["--http2-prior-knowledge"]):
            context.step(f"events, curl {option}", lambda o=option: live(curl_events(link, o)))
        context.step("upload answered piece by piece", lambda: lock_step(link))
        context.step("openai, streamed", lambda: chat_streamed(link))
        context.step("openai, at once", lambda: chat_at_once(link))
        context.step("openai, wrong key", lambda: chat_refused(link))
        if not link.direct:
            context.step("100 at once, HTTP/2", lambda: asyncio.run(at_once(link)))


def sent_times(lines: Iterator[str]) -> list[tuple[float, float]]:
    prefix = "data: "
    return [(float(line[len(prefix):]), time.monotonic()) for line in lines if line.startswith(prefix)]


def httpx_events(link: Link) -> list[tuple[float, float]]:
    with (
        httpx.Client(trust_env=False, timeout=20) as client,
        client.stream("GET", link.url(f"/events?count={EVENTS}")) as response,
    ):
        equal(response.headers["content-type"], "text/event-stream; charset=utf-8", "Content-Type")
        return sent_times(response.iter_lines())


def curl_events(link: Link, option: str) -> list[tuple[float, float]]:
    command = ["curl", "-sSN", "--max-time", "30", option, link.url(f"/events?count={EVENTS}")]
    with subprocess.Popen(command, env=plain_environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        arrivals = sent_times(iter(process.stdout.readline, ""))
    equal(process.returncode, 0, "exit code of curl")
    return arrivals


def lock_step(link: Link) -> str:
    """Sends a piece only after the one before it came back."""
    pieces = [b"piece %d" % number for number in range(50)]
    connection = h11.Connection(h11.CLIENT)
    fields = [("host", f"127.0.0.1:{link.port}"), ("transfer-encoding", "chunked"), ("connection", "close")]
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", link.port), timeout=10) as tcp:
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send(event: h11.Event) -> None:
            tcp.sendall(connection.send(event) or b"")

        def receive() -> h11.Event:
            while (event := connection.next_event()) is h11.NEED_DATA:
                connection.receive_data(tcp.recv(65536))
            return event

        send(h11.Request(method="POST", target="/echo", headers=fields))
        for number, piece in enumerate(pieces):
            send(h11.Data(data=piece))
            if number == 0:
                head = receive()
                check(isinstance(head, h11.Response) and head.status_code == 200, f"not 200: {head}")
            answer = receive()
            check(isinstance(answer, h11.Data), f"not a piece: {shortened(answer)}")
            equal(bytes(answer.data), piece, "the piece that came back")
        took = time.monotonic() - began
        send(h11.EndOfMessage())
        check(isinstance(receive(), h11.EndOfMessage), "no end")
    return f"{len(pieces)} pieces there and back, {took / len(pieces) * 1000:.1f} ms each"


def chat(link: Link, key: str = "sk-test") -> openai.OpenAI:
    client = httpx.Client(trust_env=False)
    return openai.OpenAI(api_key=key, base_url=link.url("/v1"), http_client=client, max_retries=0, timeout=20)


def chat_streamed(link: Link) -> str:
    words = [f"word{number}" for number in range(EVENTS - 1)]
    stream = chat(link).chat.completions.create(
        model="small", messages=[{"role": "user", "content": " ".join(words)}], stream=True
    )
    text, reason, arrivals = "", None, []
    for chunk in stream:
        assert chunk.model_extra
        arrivals.append((chunk.model_extra["sent"], time.monotonic()))
        text += chunk.choices[0].delta.content or ""
        reason = chunk.choices[0].finish_reason
    equal(text, " ".join(words), "text")
    equal(reason, "stop", "reason to end")
    return live(arrivals)


def chat_at_once(link: Link) -> None:
    answer = chat(link).chat.completions.create(
        model="small", messages=[{"role": "user", "content": "all at once"}]
    )
    equal(answer.choices[0].message.content, "all at once", "text")


def chat_refused(link: Link) -> None:
    try:
        chat(link, "sk-wrong").chat.completions.create(model="small", messages=[{"role": "user", "content": "x"}])
    except openai.AuthenticationError as error:
        equal((error.status_code, error.code), (401, "invalid_api_key"), "status and code")
        return
    check(False, "a wrong key was accepted")


async def at_once(link: Link) -> str:
    """Posts over and over by 100 tasks, over one connection."""
    tasks, turns = 100, 10
    began = time.monotonic()
    async with httpx.AsyncClient(trust_env=False, timeout=20, http1=False, http2=True) as client:

        async def post(number: int) -> None:
            for turn in range(turns):
                content = f"{number}/{turn}".encode() * 1000
                answer = await client.post(link.url("/echo"), content=content)
                equal((answer.status_code, answer.http_version), (200, "HTTP/2"), "status and version")
                check(answer.content == content, "another content came back")

        async with asyncio.TaskGroup() as group:
            for number in range(tasks):
                group.create_task(post(number))
    return f"{tasks * turns / (time.monotonic() - began):.0f} requests/s"
