"""The cases of the live test: what of the app's message arrives, and what of the client's."""

from __future__ import annotations

import json
from typing import Any

from .livecases import (
    AUTHORITY,
    Context,
    app_values,
    binding,
    case,
    echoed,
    expect,
    expect_in,
    field_of,
    fresh_path,
    get,
    status_of,
)
from .stream import Message
from .testapp import GZIPPED

# What a proxy may add when it serialises a request anew.
FRAMING = {"connection", "transfer-encoding", "content-length"}


@case("the app gets the client's fields, host and steve-session, and nothing else")
def nothing_added(ctx: Context) -> None:
    session = ctx.session()
    sent = [(b"x-one", b"1"), (b"cookie", b"a=b"), (b"x-empty", b""), (b"x-one", b"2"), (b"accept-encoding", b"br")]
    for method in (b"GET", b"POST"):
        fields: list[list[str]] = echoed(session.request(get("/echo", method, sent), b"x" if method == b"POST" else b""))["fields"]
        expected = [[name.decode(), value.decode()] for name, value in sent]
        own = [*expected, ["host", AUTHORITY.decode()], ["steve-session", binding(session)]]
        expect("fields", sorted(own), sorted(f for f in fields if f[0] not in FRAMING))
        expect("order of repeated fields", ["1", "2"], [value for name, value in fields if name == "x-one"])


@case("requests with 200 field lines, with HEAD and empty DATA, with content-length 0, with host and te, OPTIONS *")
def request_forms(ctx: Context) -> None:
    session = ctx.session(0x0003)
    many = [(f"x-{i}".encode(), str(i).encode()) for i in range(200)]
    echo = echoed(session.request(get("/echo", fields=many)))
    expect("field lines", 200, sum(1 for name, _ in echo["fields"] if name.startswith("x-")))
    stream_id, path = session.next_id(), fresh_path()
    sealer = session.sealer(stream_id)
    parts = [session.open_stream(stream_id), sealer.seal(1, get(path, b"POST").encode()), sealer.seal(0x82, b"")]
    expect("length", 0, echoed(session.exchange(stream_id, parts))["length"])
    echo = echoed(session.request(get("/echo", b"POST", [(b"content-length", b"0")])))
    expect("content-length 0", ["0"], app_values(echo, "content-length"))
    echo = echoed(session.request(get("/echo", fields=[(b"host", AUTHORITY), (b"te", b"trailers")])))
    expect("host", [AUTHORITY.decode()], app_values(echo, "host"))
    expect("te", ["trailers"], app_values(echo, "te"))
    status_of(session.request(get("*", b"OPTIONS")))
    expect("path of OPTIONS *", 1, ctx.app.count("*"))


def special(ctx: Context, kind: str, method: bytes = b"GET") -> Message:
    return ctx.session(0x0001).request(get("/special/" + kind, method))


def error_of(message: Message) -> tuple[int, list[bytes], Any]:
    return status_of(message), field_of(message, b"steve-error"), json.loads(message.body)


@case("statuses, repeated fields, codings, interim responses and trailers of the app are left as they are")
def responses(ctx: Context) -> None:
    for status in (200, 204, 299, 304, 418, 500, 599):
        message = special(ctx, f"status/{status}")
        expect("status", status, status_of(message))
        expect("body", b"" if status in (204, 304) else b"body", bytes(message.body))
        expect("steve-error", [], field_of(message, b"steve-error"))
    message = special(ctx, "repeated")
    for name, values in ((b"set-cookie", [b"b=1", b"a=2"]), (b"x", [b"1", b"2"])):
        expect(f"{name!r}", values, field_of(message, name))
    message = special(ctx, "gzip")
    expect("coded body", (GZIPPED, [b"gzip"]), (bytes(message.body), field_of(message, b"content-encoding")))
    message = special(ctx, "hints")
    expect("final body", b"body", bytes(message.body))
    expect_in("interim statuses", ([], [103]), [head.status for head in message.interim])
    for kind in ("trailers", "trailers/announced"):
        message = special(ctx, kind)
        expect(f"body and {kind}", (b"body", [(b"x-sum", b"1")]), (bytes(message.body), message.trailers))
    length = field_of(special(ctx, "status/200"), b"content-length")
    expect(
        "content-length of GET and HEAD", ([b"4"], [b"4"]), (length, field_of(special(ctx, "fields/0", b"HEAD"), b"content-length"))
    )


@case("response of 200 field lines or 60000 bytes passes; one that cannot be encoded: 502 app_malformed_response")
def malformed_responses(ctx: Context) -> None:
    message = special(ctx, "fields/200")
    expect("status", 200, status_of(message))
    expect("last field", [b"199"], field_of(message, b"x-199"))
    # The limit that the proxy announces is one for requests (Section 14).
    expect("length of a large field", 60000, len(field_of(special(ctx, "large/60000"), b"x")[0]))
    for kind in ("status/101", "status/600", "status/999", "fields/300", "large/65536", "garbage"):
        expected = (502, [b"app_malformed_response"], {"error": "app_malformed_response"})
        expect(kind, expected, error_of(special(ctx, kind)))
