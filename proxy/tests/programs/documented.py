"""The kinds of differences, each with the sentence of SPEC.md, Appendix C, that announces it."""

from __future__ import annotations

from pathlib import Path

SPEC = Path(__file__).parents[3] / "protocol-spec" / "SPEC.md"

# What may be in any case; the others are expected case by case.
ALWAYS = {"steve-session", "lower case", "order"}

DOCUMENTED: dict[str, str] = {
    # Of the protocol
    "hop-by-hop": "Hop-by-hop fields, except `te: trailers`, do not arrive.",
    "steve-session": "`steve-session` arrives, as the proxy's.",
    "steve-*": "Fields in the `steve-` namespace do not arrive, in either direction.",
    "lower case": "Field names are in lower case.",
    "order": "Fields with different names may arrive in another order; those with one name keep theirs.",
    "request: length arrives as chunked": "The request may arrive chunked instead of with the client's framing.",
    "chunk extensions": "Chunk extensions do not arrive.",
    "request: no trailers": "Request trailers arrive if a `trailer` field names them and the request has no "
    "`content-length`.",
    "refused by the proxy: 431 head_too_large": "Request heads above `max_head_size` are refused with 431.",
    "refused by the gateway: 400 invalid_request": "Targets with bytes that RFC 3986 does not allow in a path or "
    "query may be refused with 400.",
    "reason phrase": "Reason phrases do not arrive.",
    "response: close arrives as chunked": "A response that the end of the connection delimits arrives with an end "
    "of its own.",
    "refused by the proxy: 502 app_malformed_response": "Responses that Section 10.1 does not allow "
    "arrive as 502 `app_malformed_response`;",
    "response: broken instead of complete": "where only the trailers are not allowed, the response breaks off.",
    "HTTP/1.0 to an app of HTTP/1.0": "After an app has answered in HTTP/1.0 on a connection that stays open, "
    "requests on that connection are in HTTP/1.0 too.",
    # Of the local gateway
    "host": "`host` is the service's, whichever admitted name the client used; other names are answered 421.",
    "refused by the gateway: 421 misdirected": "`host` is the service's, whichever admitted name the client used; "
    "other names are answered 421.",
    "refused by the gateway: 400 malformed_request": "Requests are answered 400 that have no `host` or several, or "
    "in HTTP/2 one that is not the `:authority`; that have a target with a scheme other than http and https; or that "
    "ask for a WebSocket and have a body.",
    "refused by the gateway: 501 transfer_coding": "Transfer codings other than `chunked`, once, are answered 501.",
    "no length beside chunked": "A `content-length` beside `transfer-encoding` does not arrive, and the connection is "
    "closed after the answer.",
    "origin form": "A target in absolute form arrives in origin form, and without a fragment.",
    "no fragment": "A target in absolute form arrives in origin form, and without a fragment.",
    "one cookie field": "Several `cookie` fields arrive as one.",
    "equal lengths become one": "Several equal `content-length` fields arrive as one.",
    "request: none arrives as length 0": "POST, PUT and PATCH without a body arrive with `content-length: 0`.",
    "response: HTTP/1.0 arrives as HTTP/1.1": "Responses are HTTP/1.1, or HTTP/2 if the client began with it, "
    "whatever version the app spoke.",
    "refused by the gateway: 501 connect_not_supported": "CONNECT is answered 501, and HTTP/1.0 505.",
    "refused by the gateway: 505 http_version": "CONNECT is answered 501, and HTTP/1.0 505.",
    "refused by the gateway: 431 head_too_large": "Heads above `--max-head-size` are answered 431.",
    "refused by the gateway: 400 without fields": "What its HTTP parser refuses is answered 400, 414 or 431 "
    "without `steve-gateway`",
    "refused by the gateway: 431 without fields": "so are more than 256 field lines.",
    "100 Continue from the gateway": "100 Continue comes from the gateway, when the app has asked for the body or "
    "has been silent for half a second, and only to clients that expect it.",
    "100 Continue only if it was expected": "100 Continue comes from the gateway, when the app has asked for the "
    "body or has been silent for half a second, and only to clients that expect it.",
    "no interim responses": "Other interim responses do not arrive.",
    "response: length arrives as none": "Over HTTP/1.1, responses with status 204 or 304 have no `content-length`.",
    "response: length 0 arrives as none": "Over HTTP/1.1, responses with status 204 or 304 have no `content-length`.",
    "response: no trailers": "Over HTTP/1.1, response trailers arrive if the request had `te: trailers` and the "
    "response's `trailer` field names them.",
    "response: connection: close": "`connection` in a response is about the local connection.",
}


def absent_sentences() -> list[str]:
    """Sentences that are in no bullet of the appendix."""
    text = " ".join(SPEC.read_text().partition("\n## Appendix C.")[2].split())
    return [sentence for sentence in DOCUMENTED.values() if sentence not in text]
