"""Every error of the openai client, translated by one table.

A test compares the table with all that `openai` exports, so a new release that brings a new error
cannot pass unnoticed. Status codes and codes in the body only refine what the table says.
"""

from email.utils import parsedate_to_datetime

import openai

from enrich.errors import (
    EnrichError,
    MisconfiguredError,
    Spent,
    TransientError,
    UnprocessableError,
)

Meaning = tuple[type[EnrichError], str]

MEANINGS: dict[type[Exception], Meaning] = {
    openai.OpenAIError: (TransientError, "client_error"),
    openai.APIError: (TransientError, "provider_error"),
    openai.APIConnectionError: (TransientError, "connection_failed"),
    openai.APITimeoutError: (TransientError, "timed_out"),
    openai.APIResponseValidationError: (TransientError, "malformed_response"),
    openai.APIStatusError: (TransientError, "provider_error"),
    openai.BadRequestError: (MisconfiguredError, "bad_request"),
    openai.AuthenticationError: (MisconfiguredError, "not_authenticated"),
    openai.OAuthError: (MisconfiguredError, "not_authenticated"),
    openai.PermissionDeniedError: (MisconfiguredError, "not_permitted"),
    openai.NotFoundError: (MisconfiguredError, "no_such_model"),
    openai.ConflictError: (TransientError, "conflict"),
    openai.UnprocessableEntityError: (MisconfiguredError, "bad_request"),
    openai.RateLimitError: (TransientError, "rate_limited"),
    openai.InternalServerError: (TransientError, "server_error"),
    openai.LengthFinishReasonError: (TransientError, "cut_off"),
    openai.ContentFilterFinishReasonError: (UnprocessableError, "content_filtered"),
    # Raised by parts of the client that an enricher never uses; here so that nothing is unknown.
    openai.InvalidWebhookSignatureError: (MisconfiguredError, "client_error"),
    openai.WebSocketConnectionClosedError: (TransientError, "connection_failed"),
    openai.WebSocketQueueFullError: (TransientError, "client_error"),
}
STATUSES: dict[int, Meaning] = {  # of statuses that have no class of their own
    402: (MisconfiguredError, "quota_exhausted"),
    405: (MisconfiguredError, "bad_request"),
    408: (TransientError, "timed_out"),
    413: (UnprocessableError, "too_long"),
    425: (TransientError, "provider_error"),
    451: (UnprocessableError, "content_filtered"),
}
CODES: dict[str, Meaning] = {  # what the body says outranks the status
    "context_length_exceeded": (UnprocessableError, "too_long"),
    "string_above_max_length": (UnprocessableError, "too_long"),
    "content_filter": (UnprocessableError, "content_filtered"),
    "content_policy_violation": (UnprocessableError, "content_filtered"),
    "insufficient_quota": (MisconfiguredError, "quota_exhausted"),
    "billing_hard_limit_reached": (MisconfiguredError, "quota_exhausted"),
    "model_not_found": (MisconfiguredError, "no_such_model"),
}
MAX_RETRY_AFTER_SECONDS = 6 * 3600.0  # a mad header must not park an event for a year


def translate(error: Exception, *, spent: Spent, now: float) -> EnrichError:
    """What an error of the openai client means for an event. `now` is Unix time in seconds.

    The message names the status, the provider's code and the model's limit, never what was sent:
    providers quote the request in their error texts.
    """
    leaf, kind = _meaning(error)
    status = getattr(error, "status_code", None)
    code = getattr(error, "code", None)
    said = [type(error).__name__]
    if isinstance(status, int):
        said.append(f"status {status}")
    if isinstance(code, str) and len(code) <= 60:
        said.append(f"code {code}")
    retry_after = _retry_after(error, now)
    if retry_after is not None:
        said.append(f"retry after {retry_after:g} s")
    return leaf(
        kind,
        f"{kind.replace('_', ' ')} ({', '.join(said)})",
        retry_after_seconds=retry_after,
        spent=spent,
    )


def _meaning(error: Exception) -> Meaning:
    code = getattr(error, "code", None) or getattr(error, "type", None)
    if isinstance(code, str) and code in CODES:
        return CODES[code]
    if type(error) is openai.APIStatusError:
        return STATUSES.get(error.status_code, (MisconfiguredError, "bad_request"))
    for cls in type(error).__mro__:
        if cls in MEANINGS:
            return MEANINGS[cls]
    return TransientError, "client_error"


def _retry_after(error: Exception, now: float) -> float | None:
    response = getattr(error, "response", None)
    return None if response is None else retry_after_seconds(response.headers, now)


def retry_after_seconds(headers: object, now: float) -> float | None:
    """Seconds that `Retry-After` (or OpenAI's `retry-after-ms`) asks for; None if it says nothing.

    RFC 9110: a number of seconds or an HTTP date. Bounded by 6 hours; the past is 0.
    """
    get = getattr(headers, "get", None)
    if get is None:
        return None
    millis, text = get("retry-after-ms"), get("retry-after")
    seconds = _number(millis, 1000.0) if millis else None
    if seconds is None and text:
        seconds = _number(text, 1.0)
        if seconds is None:
            try:
                seconds = parsedate_to_datetime(text).timestamp() - now
            except (ValueError, TypeError, OverflowError):
                return None
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _number(text: str, divisor: float) -> float | None:
    try:
        value = float(text) / divisor
    except ValueError:
        return None
    return value if value == value and value >= 0 else None
