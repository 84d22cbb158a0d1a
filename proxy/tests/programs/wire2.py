"""One request over HTTP/2 without TLS."""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from wire import Broken, Fields, Message, connect


def exchange2(
    port: int, method: bytes, target: bytes, fields: Fields, body: bytes = b"", trailers: Fields | None = None
) -> Message:
    """The response to a request whose `:authority` is in `fields` as `host`, as in HTTP/1."""
    hosts = [value for name, value in fields if name == b"host"]
    pseudo = [(b":method", method), (b":scheme", b"http"), (b":authority", hosts[0]), (b":path", target)]
    rest = [line for line in fields if line[0] != b"host"]
    # Field lines go out as they are: apart, in their order, without a check.
    config = H2Configuration(header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False)
    h2 = H2Connection(config)
    with connect(port) as sock:
        h2.initiate_connection()
        h2.send_headers(1, pseudo + rest, end_stream=not body and not trailers)
        if body:
            h2.send_data(1, body, end_stream=not trailers)
        if trailers:
            h2.send_headers(1, trailers, end_stream=True)
        response = Message([b"HTTP/2", b"0", b""], [])
        while True:
            sock.sendall(h2.data_to_send())
            if not (block := sock.recv(65536)):
                raise Broken
            for event in h2.receive_data(block):
                if isinstance(event, InformationalResponseReceived):
                    head = list(event.headers)
                    response.interim.append((head[0][1], head[1:]))
                elif isinstance(event, ResponseReceived):
                    head = list(event.headers)
                    response.start[1], response.fields = head[0][1], head[1:]
                elif isinstance(event, DataReceived):
                    response.body += event.data
                    h2.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, TrailersReceived):
                    response.trailers = list(event.headers)
                elif isinstance(event, StreamReset):
                    response.end = "broken"
                    return response
                elif isinstance(event, StreamEnded):
                    response.framing = "length" if response.all(b"content-length") else "close"
                    return response
