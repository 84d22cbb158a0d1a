"""What differs between a message and the same message through STEVE, by kind. SPEC.md, Appendix C, has them all."""

from __future__ import annotations

from wire import Fields, Message

HOP_BY_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"transfer-encoding",
    b"upgrade",
}
UNMARKED = [(b"connection", b"close"), (b"content-length", b"0")]
FRAMING = {b"content-length", b"transfer-encoding"}

Kinds = set[str]


def named(fields: Fields) -> set[bytes]:
    """The fields that `connection` names."""
    values = [value for name, value in fields if name.lower() == b"connection"]
    return {option.strip().lower() for value in values for option in value.split(b",")} - {b""}


def normal(name: bytes) -> bytes:
    return bytes(byte if chr(byte).isalnum() else 0x2D for byte in name.lower())


def lower(fields: Fields) -> Fields:
    return [(name.lower(), value) for name, value in fields]


def missing_kind(line: tuple[bytes, bytes], hop_by_hop: set[bytes], what: str) -> str:
    name, value = line
    if name in hop_by_hop:
        return "hop-by-hop"
    if normal(name).startswith(b"steve-"):
        return "steve-*"
    return f"{what}: {name!r}: {value[:60]!r} is missing"


def compare_fields(past: Fields, through: Fields, hop_by_hop: set[bytes], what: str) -> Kinds:
    kinds: Kinds = set()
    names = {name for name, _ in through}
    if any(name != name.lower() and name.lower() in names and name not in names for name, _ in past):
        kinds.add("lower case")
    old, new = lower(past), lower(through)
    extra = list(new)
    for line in old:
        if line in extra:
            extra.remove(line)
        else:
            kinds.add(missing_kind(line, hop_by_hop, what))
    for name, value in extra:
        if what == "request" and name == b"steve-session" and len(value) == 43:
            kinds.add("steve-session")
        elif (what, name, value) == ("response", b"connection", b"close"):
            kinds.add(f"{what}: connection: close")
        else:
            kinds.add(f"{what}: {name!r}: {value[:60]!r} was added")
    common_old = [line for line in old if line in new]
    common_new = [line for line in new if line in old]
    for name in {name for name, _ in common_old}:
        if [v for n, v in common_old if n == name] != [v for n, v in common_new if n == name]:
            kinds.add(f"{what}: order of {name!r}")
    if common_old != common_new:
        kinds.add("order")
    return kinds


def joined_cookies(fields: Fields) -> Fields:
    crumbs = [value for name, value in fields if name.lower() == b"cookie"]
    place = next((n for n, (name, _) in enumerate(fields) if name.lower() == b"cookie"), 0)
    rest = [line for line in fields if line[0].lower() != b"cookie"]
    return rest[:place] + [(b"cookie", b"; ".join(crumbs))] + rest[place:]


def compare_requests(past: Message, through: Message) -> Kinds:
    kinds: Kinds = set()
    for name in ["method", "body"]:
        if getattr(past, name) != getattr(through, name):
            kinds.add(f"request: {name}")
    if past.start[1] != through.start[1]:
        absolute = past.start[1].startswith(b"http://")
        origin_form = b"/" + past.start[1].split(b"/", 3)[-1] if absolute else b""
        kinds.add("origin form" if origin_form == through.start[1] else fragment_or_target(past, through))
    if past.all(b"host") != through.all(b"host"):
        kinds.add("host")
    if past.start[2] != through.start[2]:
        kinds.add("HTTP/1.0 to an app of HTTP/1.0")
    kinds |= compare_framing(past, through, "request")
    if past.extensions != through.extensions:
        kinds.add("chunk extensions")
    old = joined_cookies(past.fields) if len(past.all(b"cookie")) > 1 else past.fields
    if old != past.fields and through.all(b"cookie") == [dict(old)[b"cookie"]]:
        kinds.add("one cookie field")
    else:
        old = past.fields
    apart = FRAMING | {b"host"}
    new = through.fields
    if through.start[2] == b"HTTP/1.0":
        new = [line for line in new if line != (b"connection", b"keep-alive")]
    kinds |= compare_fields(without(old, apart), without(new, apart), hop_by_hop(past), "request")
    return kinds | compare_trailers(past, through, "request")


def fragment_or_target(past: Message, through: Message) -> str:
    if past.start[1].split(b"#")[0] == through.start[1]:
        return "no fragment"
    return f"target {through.start[1]!r}"


def without(fields: Fields, names: set[bytes]) -> Fields:
    return [line for line in fields if line[0].lower() not in names]


def hop_by_hop(message: Message) -> set[bytes]:
    return HOP_BY_HOP | (named(message.fields) - {b"host", b"content-length", b"te"})


def compare_framing(past: Message, through: Message, what: str) -> Kinds:
    lengths = past.all(b"content-length"), through.all(b"content-length")
    if past.framing == through.framing and lengths[0] == lengths[1]:
        return set()
    if past.framing == through.framing == "length" and lengths[1] == lengths[0][:1]:
        return {"equal lengths become one"}
    if past.framing == through.framing == "chunked" and not lengths[1]:
        return {"no length beside chunked"}
    return {f"{what}: {shown(past)} arrives as {shown(through)}"}


def shown(message: Message) -> str:
    """How the end of the body is known."""
    if message.framing == "length":
        return "length 0" if message.all(b"content-length")[0].strip(b"0") == b"" else "length"
    lengths = message.all(b"content-length")
    return f"{message.framing} with content-length {lengths}" if lengths else message.framing


def compare_trailers(past: Message, through: Message, what: str) -> Kinds:
    if past.trailers and not through.trailers:
        return {f"{what}: no trailers"}
    return compare_fields(past.trailers, through.trailers, hop_by_hop(past), f"{what} trailers")


def compare_responses(past: Message, through: Message) -> Kinds:
    """`through` may be of another version of HTTP; past STEVE it is always HTTP/1."""
    for name, field in [("gateway", b"steve-gateway"), ("proxy", b"steve-error")]:
        if (code := through.all(field)) and not past.all(field):
            return {f"refused by the {name}: {through.status} {code[0].decode()}"}
    if lower(through.fields) == UNMARKED and past.status != through.status:
        return {f"refused by the gateway: {through.status} without fields"}
    kinds: Kinds = set()
    http2 = through.start[0] == b"HTTP/2"
    if past.start[0] != through.start[0] and not http2:
        kinds.add(f"response: {past.start[0].decode()} arrives as {through.start[0].decode()}")
    if past.status != through.status:
        kinds.add(f"status {through.status} instead of {past.status}")
    elif past.start[2] != through.start[2] and not http2:
        kinds.add("reason phrase")
    # Nobody can rely on how much of a response arrives that breaks off.
    both_broken = past.end == through.end == "broken"
    if past.body != through.body and not (both_broken and past.body.startswith(through.body)):
        kinds.add("response: body")
    if past.end != through.end:
        kinds.add(f"response: {through.end} instead of {past.end}")
    if http2 and past.all(b"content-length") == through.all(b"content-length"):
        pass
    else:
        kinds |= compare_framing(past, through, "response")
    if past.extensions != through.extensions and not http2:
        kinds.add("chunk extensions")
    kinds |= compare_interim(past, through)
    fields = without(past.fields, FRAMING), without(through.fields, FRAMING)
    kinds |= compare_fields(*fields, hop_by_hop(past), "response")
    return kinds | compare_trailers(past, through, "response")


def compare_interim(past: Message, through: Message) -> Kinds:
    kinds: Kinds = set()
    before = [status for status, _ in past.interim]
    after = [status for status, _ in through.interim]
    if [lower(fields) for _, fields in past.interim] == [lower(fields) for _, fields in through.interim]:
        return set() if before == after else {f"interim responses {after}"}
    if lost := [status for status in before if status != b"100"]:
        if any(status in after for status in lost):
            return {f"interim responses {after}"}
        kinds.add("no interim responses")
    if before.count(b"100") > after.count(b"100"):
        kinds.add("100 Continue only if it was expected")
    elif before.count(b"100") < after.count(b"100"):
        kinds.add("100 Continue from the gateway")
    return kinds
