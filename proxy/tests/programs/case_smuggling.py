"""Hostile requests to the gateway and hostile answers of the app: messages never mix."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from harness import Context, Link, check, equal
from smuggling_requests import ATTACKS, Attack
from smuggling_responses import ANSWERS, Hostile
from wire import Answer, App, Broken, Malformed, Message, Reader, connect, read_body, read_head, read_response

PROBE = b"GET /probe HTTP/1.1\r\nhost: HOST\r\n\r\n"
# What a refused connection may still send after its answer.
QUIET = 0.2
# Nothing may come after a response for so long.
SILENCE = 0.05


def run(context: Context) -> None:
    app = App()
    with context.link(app.port) as link:
        if link.direct:
            # This app and this client are no match for each other's attacks.
            return
        for attack in ATTACKS:
            context.step(attack.name, partial(attacked, link, app, attack))
        context.step("ordinary answers", partial(shared, link, app))
        for hostile in ANSWERS:
            context.step(f"app: {hostile.name}", partial(answered, link, app, hostile))


def host(link: Link) -> bytes:
    return b"127.0.0.1:%d" % (link.proxy_port or 0)


def attacked(link: Link, app: App, attack: Attack) -> str:
    """The app gets exactly the expected bytes, and the next request of somebody else arrives whole."""
    before = {number: len(reader.record) for number, reader in app.bytes.items()}
    app.begin([Answer(marked(b"first")), Answer(marked(b"second")), Answer(marked(b"third"))])
    answers = hostile_exchange(link, attack.sent.replace(b"HOST", host(link)), attack.open_ended)
    # The head of a request that breaks off may come only now, and takes an answer too.
    app.begin([Answer(marked(b"probe"))] * 2)
    probe = fetch(link, PROBE)
    equal((probe.status, probe.body), (200, b"probe"), "answer to the next request")
    requests: list[bytes] = []
    for number, reader in list(app.bytes.items()):
        whole, broken = split(reader.record[before.get(number, 0) :])
        requests += whole
        if broken:
            # As long as it can go on, it may become a request.
            wait_for_end(app, number)
            equal(split(reader.record[before.get(number, 0) :]), (whole, broken), "requests at the end")
    expected = [request.replace(b"HOST", host(link)) for request in [attack.arrives, PROBE] if request]
    equal(sorted(map(without_session, requests)), sorted(expected), "what the app got")
    return "; ".join(answers)


def without_session(request: bytes) -> bytes:
    """Without the one line that the proxy adds."""
    lines = request.split(b"\r\n")
    added = [line for line in lines if line.startswith(b"steve-session: ") and len(line) == 58]
    equal(len(added), 1, "steve-session fields")
    return b"\r\n".join(line for line in lines if line not in added)


def marked(text: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole requests in what a connection brought, and what is after them."""
    reader = Reader(None, data)
    requests: list[bytes] = []
    while (begin := reader.position) < len(data):
        try:
            read_body(reader, read_head(reader))
        except (Broken, Malformed, ValueError):
            return requests, data[begin:]
        requests.append(data[begin : reader.position])
    return requests, b""


def hostile_exchange(link: Link, sent: bytes, open_ended: bool) -> list[str]:
    """What the gateway answers until it closes the connection or has nothing more to say."""
    with connect(link.port, QUIET if open_ended else 5) as sock:
        reader = Reader(sock)
        stays = ""
        try:
            sock.sendall(sent)
            while reader.more():
                sock.settimeout(QUIET)
        except TimeoutError:
            check(reader.record or open_ended, "neither an answer nor an end within 5 s")
            stays = ", stays open"
    reader = Reader(None, reader.record)
    answers = []
    while not reader.at_end():
        answers.append(described(read_response(reader, b"GET")))
    return [*answers[:-1], (answers or ["no answer"])[-1] + stays]


def described(response: Message) -> str:
    if response.end == "broken":
        return "breaks off"
    for field, name in [(b"steve-gateway", "gateway"), (b"steve-error", "proxy")]:
        if code := response.all(field):
            return f"{response.status} {name}: {code[0].decode()}"
    if response.all(b"connection") == [b"close"] and response.status in (400, 414, 431):
        return f"{response.status} parser of the gateway"
    return f"{response.status} {response.body.decode()}"


def fetch(link: Link, request: bytes) -> Message:
    """The response on a connection of its own; at the end it must have nothing else."""
    request = request.replace(b"HOST", host(link))
    with connect(link.port) as sock:
        sock.sendall(request)
        reader = Reader(sock)
        try:
            response = read_response(reader, request.split(b" ")[0])
        except Broken:
            response = Message([b"", b"0", b""], [], end="broken")
        sock.settimeout(SILENCE)
        with suppress(TimeoutError):
            reader.more()
        check(b"smuggled" not in reader.record, f"bytes of another response: {reader.record!r}")
        equal(reader.record[reader.position :], b"", "what came after the response")
        return response


def shared(link: Link, app: App) -> str:
    """Connections to the app are used again where nothing speaks against it."""
    app.begin([Answer(marked(b"probe"))] * 10)
    for _ in range(10):
        equal(fetch(link, PROBE).body, b"probe", "answer")
    connections = {request.connection for request in app.requests}
    check(len(connections) < 10, "no connection was used again")
    return f"10 requests over {len(connections)} connections"


def answered(link: Link, app: App, hostile: Hostile) -> str:
    """The client gets what is sure, and the next request goes over another connection."""
    app.begin([hostile.answer(), Answer(marked(b"probe"))])
    response = fetch(link, hostile.request)
    equal(described(response), hostile.gets, "what the client got")
    number = app.requests[0].connection
    if hostile.later:
        app.sockets[number].sendall(hostile.later)
        wait_for_end(app, number)
    probe = fetch(link, PROBE)
    equal((probe.status, probe.body), (200, b"probe"), "answer to the next request")
    if not hostile.whole:
        check(app.requests[-1].connection != number, "the connection was used again")
        wait_for_end(app, number)
    return hostile.gets


def wait_for_end(app: App, number: int) -> None:
    check(app.ended[number].wait(5), "the connection to the app stays open")
