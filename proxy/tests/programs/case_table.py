"""HTTP past STEVE and through it, request by request: what the app sees and what the client gets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

from differences import HOP_BY_HOP, compare_requests, compare_responses
from documented import ALWAYS, DOCUMENTED, absent_sentences
from harness import Context, Link, check, equal
from table_requests import REQUESTS, Case
from table_responses import RESPONSES
from wire import Answer, App, Message, Reader, exchange, read_body, read_head
from wire2 import exchange2

Seen = tuple[list[Message], list[Message]]


def run(context: Context) -> None:
    app = App()
    found: Counter[str] = Counter()
    with context.link(app.port) as link:
        for case in REQUESTS + RESPONSES:
            context.step(case.name, partial(compared, link, app, case, found))
        context.step("documented differences", partial(complete, link, found))


def filled(case: Case, host: bytes, here: int) -> bytes:
    return case.request.replace(b"HOST", host).replace(b"HERE", b"127.0.0.1:%d" % here)


def parsed(data: bytes, held: bool) -> list[Message]:
    """The requests in what a client sends; without the bodies that it holds back."""
    reader = Reader(None, data)
    requests = []
    while reader.position < len(reader.record):
        request = read_head(reader)
        if not held:
            read_body(reader, request)
        requests.append(request)
    return requests


def past(link: Link, app: App, case: Case, host: bytes) -> Seen:
    sent = filled(case, host, app.port)
    requests = parsed(sent, case.held is not None)
    app.begin(answers(case, host))
    responses = exchange(app.port, sent, [request.method for request in requests], case.held)
    return app.requests, responses


def through(link: Link, app: App, case: Case, host: bytes) -> Seen:
    sent = filled(case, host, link.port)
    requests = parsed(sent, case.held is not None)
    app.begin(answers(case, host))
    if not case.http2 or link.direct:
        responses = exchange(link.port, sent, [request.method for request in requests], case.held)
    else:
        request = requests[0]
        fields = [line for line in request.fields if line[0] == b"te" or line[0] not in HOP_BY_HOP]
        responses = [exchange2(link.port, request.method, request.start[1], fields, request.body, request.trailers)]
    for request, answer in zip(app.requests, case.answers, strict=False):
        # The next request must not meet the end of this connection.
        check(not answer.close or app.ended[request.connection].wait(5), "the connection to the app stays open")
    return app.requests, responses


def answers(case: Case, host: bytes) -> list[Answer]:
    return [replace(answer, response=answer.response.replace(b"HOST", host)) for answer in case.answers]


def compared(link: Link, app: App, case: Case, found: Counter[str]) -> str:
    host = b"127.0.0.1:%d" % (link.proxy_port or link.app_port)
    (requests, responses), (requests2, responses2) = past(link, app, case, host), through(link, app, case, host)
    equal(len(requests), len(case.answers), "requests that reached the app past STEVE")
    equal(len(responses), len(case.answers), "responses past STEVE")
    equal(len(responses2), len(responses), "responses through STEVE")
    kinds: set[str] = set()
    for old, new in zip(responses, responses2, strict=True):
        kinds |= compare_responses(old, new)
    if requests2:
        equal(len(requests2), len(requests), "requests that reached the app through STEVE")
        for old, new in zip(requests, requests2, strict=True):
            kinds |= compare_requests(old, new)
            check(link.direct or len(new.all(b"steve-session")) == 1, "not one steve-session field")
    else:
        refused = all(400 <= response.status < 600 for response in responses2)
        check(refused, f"no request has arrived, but {[response.start for response in responses2]}")
    found.update(kinds)
    if link.direct:
        equal(kinds, set(), "differences without STEVE")
        return "same"
    return verdict(case, kinds)


def verdict(case: Case, kinds: set[str]) -> str:
    expected = case.differs | (kinds & ALWAYS)
    check(kinds == expected, f"differences {sorted(kinds - expected)}, not {sorted(expected - kinds)}")
    return ", ".join(sorted(kinds - ALWAYS)) or "same"


def complete(link: Link, found: Counter[str]) -> str:
    """Every difference is documented, and every documented one was seen."""
    cases = len(REQUESTS) + len(RESPONSES)
    if not link.direct:
        equal(set(found), set(DOCUMENTED), "kinds of differences")
        equal(absent_sentences(), [], "sentences that are not in SPEC.md, Appendix C")
    return "".join(f"\n    {count:4} of {cases}  {kind}" for kind, count in found.most_common())
