"""The cases of the live test: the outer HTTP interface (Section 11), CORS, and requests in plaintext."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from dataclasses import replace

from . import client, evidence, handshake
from .client import BASE, EVIDENCE, STREAM, OuterResponse
from .codec import Reader
from .document import parse_document, parse_sign1
from .livecases import Context, app_values, case, echoed, expect, expect_in, fresh_path, get
from .livenegative import expect_refused, flipped
from .stream import Receiver

VARYING = {"date", "connection", "content-length", "transfer-encoding"}
ORIGIN = "https://app.example"


def constant_fields(answer: OuterResponse, varying: set[str] = VARYING) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in answer.fields.items() if name not in varying)


@case("fields of evidence, and what the document must not hold")
def evidence_fields(ctx: Context) -> None:
    for method, body in (("POST", secrets.token_bytes(32)), ("GET", None)):
        answer = ctx.outer.call(method, EVIDENCE, body)
        expect("status", 200, answer.status)
        expect("content-type", "application/vnd.steve.evidence", answer.fields.get("content-type"))
        cache = answer.fields.get("cache-control", "")
        if method == "POST" or "max-age" not in cache:
            expect("cache-control", "no-store", cache)
        else:
            ages = [int(d.partition("=")[2]) for d in cache.replace(" ", "").split(",") if d.startswith("max-age=")]
            expect("max-age", True, ages[0] <= 60)
        decoded = evidence.Evidence.decode(answer.body)
        document = parse_document(parse_sign1(decoded.document).payload)
        expect("public_key", None, document.public_key)
        if method == "GET":
            expect("nonce", None, document.nonce)
        configuration = json.loads(decoded.configuration)
        for name in ("public_paths", "allow_plaintext_fallback"):
            expect(f"{name} in the effective configuration", True, name in configuration)


@case("outer answers do not depend on the inner response")
def constant_answers(ctx: Context) -> None:
    session = ctx.session(0x0003)
    answers = []
    for path, method in (
        ("/echo", b"GET"),
        ("/missing", b"GET"),
        ("/redirect", b"GET"),
        ("/", b"CONNECT"),
        ("/special/garbage", b"GET"),
    ):
        stream_id = session.next_id()
        answers.append(ctx.outer.post_stream(b"".join(session.sealed(stream_id, get(path, method)))))
    expect("statuses", [200] * len(answers), [a.status for a in answers])
    expect("content-type", client.STREAM_TYPE, answers[0].fields.get("content-type"))
    expect("cache-control", "no-store", answers[0].fields.get("cache-control"))
    framing = {name for name in ("content-length", "transfer-encoding") if name in answers[0].fields}
    for answer in answers:
        expect("fields", constant_fields(answers[0]), constant_fields(answer))
        expect("framing", framing, {n for n in ("content-length", "transfer-encoding") if n in answer.fields})


@case("422 is the same whatever the reason")
def same_422(ctx: Context) -> None:
    session, enclave = ctx.session(0x0001), ctx.enclave
    hello = handshake.Client(enclave.key_config.entry(0x0001), enclave.key_config_hash).hello
    used = b"".join(session.sealed(1, get("/echo")))
    expect("status", 200, ctx.outer.post_stream(used).status)
    fresh = b"".join(session.sealed(2, get("/echo")))
    early = handshake.Client(enclave.key_config.entry(0x0001), enclave.key_config_hash, handshake.EARLY_OFFERED).hello
    answers = {
        "key id": ctx.outer.post_stream(replace(hello, key_id=secrets.token_bytes(8)).encode()),
        "enc": ctx.outer.post_stream(replace(hello, enc=bytes(32)).encode()),
        "epk": ctx.outer.post_stream(replace(hello, epk=bytes(32)).encode()),
        "session": ctx.outer.post_stream(fresh[:1] + secrets.token_bytes(16) + fresh[17:]),
        "tag": ctx.outer.post_stream(flipped(fresh)),
        "replay": ctx.outer.post_stream(used),
        "early key id": ctx.outer.post_stream(replace(early, key_id=secrets.token_bytes(8)).encode() + fresh[25:]),
    }
    first = answers["key id"]
    for what, answer in answers.items():
        expect_refused(answer)
        expect(what, (constant_fields(first, {"date"}), first.body), (constant_fields(answer, {"date"}), answer.body))


@case("methods that are not allowed: 405 with Allow")
def methods(ctx: Context) -> None:
    for path, method, allowed in (
        (EVIDENCE, "PUT", {"GET", "POST"}), (STREAM, "DELETE", {"POST"}), (BASE + "health", "POST", {"GET"}),
    ):  # fmt: skip
        answer = ctx.outer.call(method, path)
        expect_refused(answer, 405, "method_not_allowed")
        got = {name.strip() for name in answer.fields.get("allow", "").split(",")}
        expect(f"{method} {path}, Allow", True, allowed <= got and method not in got)


def cors_fields(answer: OuterResponse) -> dict[str, str]:
    return {name: value for name, value in answer.fields.items() if name.startswith("access-control-")}


@case("CORS: nothing for unknown origins; the listed one is reflected, without credentials")
def cors(ctx: Context) -> None:
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for path in (STREAM, EVIDENCE):
        for method, fields in (("OPTIONS", preflight), ("POST", {})):
            answer = ctx.outer.call(method, path, bytes(32), {"Origin": ORIGIN, **fields})
            expect("without a list", None, answer.fields.get("access-control-allow-origin"))
    with ctx.start_proxy({"STEVE_CORS_ORIGINS": ORIGIN}) as (outer, _):
        for origin, reflected in (
            (ORIGIN, ORIGIN),
            ("https://app.example.evil", None),
            ("http://app.example", None),
            ("null", None),
        ):
            for method, path, fields in (("OPTIONS", STREAM, preflight), ("POST", EVIDENCE, {})):
                answer = outer.call(method, path, bytes(32), {"Origin": origin, **fields})
                got = cors_fields(answer)
                expect(f"{method} from {origin}", reflected, got.get("access-control-allow-origin"))
                expect("credentials", None, got.get("access-control-allow-credentials"))
                if reflected:
                    expect_in("status", (200, 204), answer.status)
        answer = outer.call("OPTIONS", "/echo", None, {"Origin": ORIGIN, **preflight})
        expect("preflight for another path", (403, None), (answer.status, answer.fields.get("access-control-allow-origin")))


@case("plaintext: public paths only, exactly, by GET and HEAD; fields in the steve- namespace are removed")
def public_paths(ctx: Context) -> None:
    public = fresh_path("/echo/public")
    forged = {"steve-session": "forged", "Steve_Session": "forged", "X-Kept": "1"}
    with ctx.start_proxy({"STEVE_PUBLIC_PATHS": public}) as (outer, _):
        answer = outer.call("GET", public, None, forged)
        expect("status", 200, answer.status)
        echo = json.loads(answer.body)
        for name in ("steve-session", "steve_session"):
            expect(name, [], app_values(echo, name))
        expect("x-kept", ["1"], app_values(echo, "x-kept"))
        expect("HEAD", 200, outer.call("HEAD", public).status)
        before = len(ctx.app.seen)
        for method, path in (
            ("POST", public),
            ("GET", public + "/"),
            ("GET", public + "x"),
            ("GET", "/echo"),
            ("GET", "/x/.." + public),
        ):
            expect_refused(outer.call(method, path), 403, "e2e_required")
        expect("requests at the app", 0, len(ctx.app.seen) - before)
        configuration = json.loads(evidence.Evidence.decode(client.fetch_evidence(outer, None)).configuration)
        expect("public_paths", [public], configuration.get("public_paths"))


@case("plaintext fallback: everything passes, without steve-session; the channel works as before")
def fallback(ctx: Context) -> None:
    with ctx.start_proxy({"STEVE_ALLOW_PLAINTEXT_FALLBACK": "true"}) as (outer, root_sha256):
        answer = outer.call("POST", "/echo", b"plain", {"steve_session": "forged", "steve-session": "forged"})
        echo = json.loads(answer.body)
        expect("status and length", (200, 5), (answer.status, echo["length"]))
        expect("steve-session", [], app_values(echo, "steve-session") + app_values(echo, "steve_session"))
        expect_refused(outer.call("GET", BASE + "nothing"), 404, "not_found")
        enclave = client.attest(outer, root_sha256, [ctx.profile])
        expect("attested", True, json.loads(enclave.configuration).get("allow_plaintext_fallback"))
        echoed(client.connect(outer, enclave, 0x0002).request(get("/echo")))


def curl_http2(ctx: Context, path: str, body: bytes) -> tuple[str, bytes]:
    """POST over HTTP/2 without TLS: status and version, and the answer's body."""
    url = f"http://{ctx.outer.host}:{ctx.outer.port}{path}"
    command = ["curl", "-sS", "--max-time", "30", "--http2-prior-knowledge", "--data-binary", "@-"]
    command += ["-H", "content-type: application/octet-stream", "-o", "-", "-w", "%{stderr}%{http_version} %{http_code}", url]
    done = subprocess.run(command, input=body, capture_output=True, timeout=40, check=False)
    return done.stderr.decode().strip(), done.stdout


@case("HTTP/2 as the outer protocol (if there is a curl that speaks it)")
def http2(ctx: Context) -> None:
    curl = shutil.which("curl")
    if curl is None or b"HTTP2" not in subprocess.run([curl, "-V"], capture_output=True, check=True).stdout:
        return
    challenge, sent = secrets.token_bytes(32), client.clock()
    status, encoded = curl_http2(ctx, EVIDENCE, challenge)
    expect("evidence", "2 200", status)
    enclave = evidence.appraise(encoded, challenge, sent, client.clock(), ctx.root_sha256, [ctx.profile])
    for suite in (0x0001, 0x0002):
        c = handshake.Client(enclave.key_config.entry(suite), enclave.key_config_hash)
        status, answer = curl_http2(ctx, STREAM, c.hello.encode())
        expect("handshake", "2 200", status)
        r = Reader(answer)
        server, keys = c.finish(r)
        r.end()
        session, path, body = client.Session(ctx.outer, server, keys), fresh_path(), secrets.token_bytes(300_000)
        request = b"".join(session.sealed(1, get(path, b"POST"), body))
        status, answer = curl_http2(ctx, STREAM, request)
        expect("stream", "2 200", status)
        receiver = Receiver(keys.s2c, 1, is_request=False)
        receiver.feed(answer)
        echo = echoed(receiver.end())
        expect("path and length", (path, len(body)), (echo["path"], echo["length"]))
        # What has been used over one protocol version stays used in the other.
        status, answer = curl_http2(ctx, STREAM, request)
        expect("replay", ("2 422", {"error": "unrecognized"}), (status, json.loads(answer)))
        expect_refused(ctx.outer.post_stream(request))
        expect("requests at the app", 1, ctx.app.count(path))
