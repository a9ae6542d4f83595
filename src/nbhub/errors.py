"""Every error that nbhub raises on purpose: a stable code, an HTTP status and a message fit for the public."""

from __future__ import annotations


class NbhubError(Exception):
    """Something went wrong that can be said in words: what happened, to which object, and what to do.

    The message is shown to users and API clients, so it never holds a secret or a traceback.
    """

    code = "internal"
    status = 500
    retry_after: int | None = None  # seconds after which the same may well work

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(NbhubError):
    """The request cannot be understood or breaks a rule."""

    code = "bad_request"
    status = 400


class Forbidden(NbhubError):
    """Nobody is known to ask, or the one who asks lacks the scope."""

    code = "forbidden"
    status = 403


class NotFound(NbhubError):
    """The object is not there, or its existence is not the asker's to know."""

    code = "not_found"
    status = 404


class MethodNotAllowed(NbhubError):
    """The address exists and does not take this method."""

    code = "method_not_allowed"
    status = 405


class Conflict(NbhubError):
    """The object is there already, or in a state that forbids the change."""

    code = "conflict"
    status = 409


class PayloadTooLarge(NbhubError):
    """The body is larger than the hub takes."""

    code = "payload_too_large"
    status = 413


class UnsupportedMediaType(NbhubError):
    """The body is of a kind that this address does not take."""

    code = "unsupported_media_type"
    status = 415


class TooManyRequests(NbhubError):
    """A limit is reached; worth another try after `retry_after` seconds."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(NbhubError):
    """Something that nbhub depends on (database, backend, proxy) does not answer now."""

    code = "unavailable"
    status = 503
    retry_after = 5


class DatabaseUnavailable(Unavailable):
    """The database is locked, full, read-only or out of reach."""

    code = "database_unavailable"


class SpawnError(NbhubError):
    """A server could not be started; `log_tail` holds the last lines it wrote, if any."""

    code = "spawn_failed"
    status = 500

    def __init__(self, message: str, log_tail: str = "") -> None:
        super().__init__(message)
        self.log_tail = log_tail


class BackendUnavailable(SpawnError):
    """The place where servers run does not answer; nothing is known about them, so nothing may be concluded."""

    code = "backend_unavailable"
    status = 503
    retry_after = 5


class ConfigError(NbhubError):
    """A setting, file or part of the machine forbids the hub to start; the message names it and the remedy."""

    code = "config"
