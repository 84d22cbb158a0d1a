"""Why there is no client, no response, or no end of a response.

`code` is stable, `text` is for people. None holds plaintext or secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # What is generated adds the classes to `SteveError` in a way that type checkers do not see.
    from ._native import PcrDifference, Report, Stage

    class SteveError(Exception):
        code: str
        stage: Stage
        text: str

    class Invalid(SteveError): ...

    class Refused(SteveError):
        report: Report
        differences: list[PcrDifference]

    class Transport(SteveError): ...

    class Timeout(SteveError): ...

    class Channel(SteveError):
        not_dispatched: bool

    class RequestBody(SteveError): ...

    class OutcomeUnknown(SteveError):
        instance: bytes

    class TooLarge(SteveError): ...

    class Closed(SteveError): ...

    class Internal(SteveError): ...

else:
    from ._native import SteveError

    # Without this, every field, with the whole report.
    SteveError.__str__ = lambda self: self.text

    Invalid = SteveError.Invalid
    Refused = SteveError.Refused
    Transport = SteveError.Transport
    Timeout = SteveError.Timeout
    Channel = SteveError.Channel
    RequestBody = SteveError.RequestBody
    OutcomeUnknown = SteveError.OutcomeUnknown
    TooLarge = SteveError.TooLarge
    Closed = SteveError.Closed
    Internal = SteveError.Internal
