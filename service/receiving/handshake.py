"""Answer what providers ask before they deliver: is this URL yours, do you know the secret?

Unsigned handshakes are answered before the signature is checked, signed ones after. A `Reply` with
`pairing_secret` carries a secret that the provider sent in-band: it counts only while a person has
opened the source for pairing. `confirm_url` must be fetched later, by a work item.
"""

import base64
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from service.preset import Preset
from service.receiving.request import Payload, Refused, Request
from service.verification.keys import same_text

MAX_CHALLENGE_CHARACTERS = 2_048
CRC_TOKEN = re.compile(r"(?!null$)[A-Za-z0-9+/=_.-]{1,200}")
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


class Reply(NamedTuple):
    """What to answer instead of storing a delivery."""

    status: int
    content_type: str = TEXT
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    pairing_secret: str | None = None
    confirm_url: str | None = None


class Terms(NamedTuple):
    """What a handshake may need besides the request."""

    secrets: Sequence[str]
    verify_token: str | None
    pairing: bool


Unsigned = Callable[[Request, Terms], Reply | None]
Signed = Callable[[Request, Any, str], Reply | None]


class Handshaker:
    """The handshakes of one preset; both methods give None for an ordinary delivery."""

    __slots__ = ("_secrets", "_signed", "_unsigned", "_verify_token")

    def __init__(
        self, preset: Preset, secrets: Sequence[str], verify_token: str | None = None
    ) -> None:
        names = preset.handshake.split()
        known = {**UNSIGNED, **SIGNED}
        for name in names:
            if name not in known:
                raise ValueError(f"no handshake {name!r}; there are {', '.join(sorted(known))}")
        self._unsigned = [UNSIGNED[name] for name in names if name in UNSIGNED]
        self._signed = [SIGNED[name] for name in names if name in SIGNED]
        self._secrets = secrets
        self._verify_token = verify_token

    def unsigned(self, request: Request, *, pairing: bool = False) -> Reply | None:
        """The answer to a handshake that carries no signature. Raises `Refused`."""
        if not self._unsigned:
            return None
        terms = Terms(self._secrets, self._verify_token, pairing)
        for handshake in self._unsigned:
            reply = handshake(request, terms)
            if reply is not None:
                return reply
        return None

    def signed(self, request: Request, payload: Payload, secret_index: int) -> Reply | None:
        """The answer to a handshake in a verified request."""
        if not self._signed:
            return None
        secret = self._secrets[secret_index] if 0 <= secret_index < len(self._secrets) else ""
        for handshake in self._signed:
            reply = handshake(request, payload.value, secret)
            if reply is not None:
                return reply
        return None


def _challenge(value: Any) -> str | None:
    """A challenge fit to be echoed: some text, not too long, without control characters."""
    if type(value) is not str or not 0 < len(value) <= MAX_CHALLENGE_CHARACTERS:
        return None
    return str(value) if value.isprintable() else None


def _field(body: Any, key: str) -> Any:
    return body.get(key) if type(body) is dict else None


def _json_reply(values: Mapping[str, Any]) -> Reply:
    return Reply(200, JSON, msgspec.json.encode(values).decode())


def _hmac(secret: str, text: str) -> "hmac.HMAC":
    return hmac.new(secret.encode(), text.encode(), "sha256")


# Unsigned: answered before any signature is checked.


def _head(request: Request, _: Terms) -> Reply | None:
    return Reply(200) if request.method == "HEAD" else None


def _options(request: Request, _: Terms) -> Reply | None:
    """CloudEvents 4.1. `WebHook-Request-Callback` is ignored: fetching it would be an SSRF."""
    origin = request.header("webhook-request-origin")
    if request.method != "OPTIONS" or origin is None or _challenge(origin) is None:
        return None
    rate = request.header("webhook-request-rate")
    allowed = rate if rate is not None and rate.isdecimal() and len(rate) < 10 else "*"
    return Reply(
        200,
        headers=(
            ("WebHook-Allowed-Origin", origin),
            ("WebHook-Allowed-Rate", allowed),
            ("Allow", "POST"),
        ),
    )


def _get_challenge(request: Request, _: Terms) -> Reply | None:
    challenge = _challenge(request.query.get("challenge"))
    if request.method != "GET" or challenge is None:
        return None
    return Reply(200, TEXT, challenge, (("X-Content-Type-Options", "nosniff"),))


def _meta(request: Request, terms: Terms) -> Reply | None:
    """Echo only to who knows the source's verify token."""
    challenge = _challenge(request.query.get("hub.challenge"))
    if request.method != "GET" or challenge is None:
        return None
    given = request.query.get("hub.verify_token", "")
    if terms.verify_token is None or not same_text(given, terms.verify_token):
        raise Refused("verify_token_mismatch", "verify token does not match")
    return Reply(200, TEXT, challenge, (("X-Content-Type-Options", "nosniff"),))


def _graph(request: Request, _: Terms) -> Reply | None:
    token = _challenge(request.query.get("validationToken"))
    if request.method != "POST" or token is None:
        return None
    return Reply(200, TEXT, token, (("X-Content-Type-Options", "nosniff"),))


def _okta(request: Request, _: Terms) -> Reply | None:
    challenge = _challenge(request.header("x-okta-verification-challenge"))
    if request.method != "GET" or challenge is None:
        return None
    return _json_reply({"verification": challenge})


def _x_crc(request: Request, terms: Terms) -> Reply | None:
    """X has receivers sign its token with the key that signs bodies, so a token that could be a
    body is refused: answering it would sign whatever a stranger sends."""
    token = request.query.get("crc_token", "")
    if request.method != "GET" or not CRC_TOKEN.fullmatch(token) or not terms.secrets:
        return None
    if _decoded(token.encode()) is not None:
        return None
    digest = base64.b64encode(_hmac(terms.secrets[0], token).digest()).decode()
    return _json_reply({"response_token": f"sha256={digest}"})


def _asana(request: Request, terms: Terms) -> Reply | None:
    secret = _challenge(request.header("x-hook-secret"))
    if secret is None or not terms.pairing:
        return None
    return Reply(200, headers=(("X-Hook-Secret", secret),), pairing_secret=secret)


def _notion(request: Request, terms: Terms) -> Reply | None:
    if not terms.pairing or request.header("x-notion-signature") is not None:
        return None
    token = _challenge(_field(_small_json(request), "verification_token"))
    return None if token is None else Reply(200, pairing_secret=token)


def _woocommerce(request: Request, _: Terms) -> Reply | None:
    """The ping on saving: an unsigned form of one field. Nothing of it is kept."""
    if request.header("x-wc-webhook-signature") is not None or len(request.body) > 64:
        return None
    name, _mark, number = request.body.partition(b"=")
    return Reply(200) if name == b"webhook_id" and number.isdigit() else None


def _monday(request: Request, _: Terms) -> Reply | None:
    challenge = _challenge(_field(_small_json(request), "challenge"))
    return None if challenge is None else _json_reply({"challenge": challenge})


def _small_json(request: Request) -> Any:
    return _decoded(request.body) if len(request.body) <= 2 * MAX_CHALLENGE_CHARACTERS else None


def _decoded(text: bytes) -> Any:
    """The JSON value of some text, None where it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


# Signed: answered after the request was verified.


def _slack(_request: Request, body: Any, _secret: str) -> Reply | None:
    if _field(body, "type") != "url_verification":
        return None
    challenge = _challenge(_field(body, "challenge"))
    return None if challenge is None else Reply(200, TEXT, challenge)


def _front(request: Request, _body: Any, _secret: str) -> Reply | None:
    challenge = _challenge(request.header("x-front-challenge"))
    return None if challenge is None else Reply(200, TEXT, challenge)


def _zoom(_request: Request, body: Any, secret: str) -> Reply | None:
    if _field(body, "event") != "endpoint.url_validation":
        return None
    plain = _challenge(_field(_field(body, "payload"), "plainToken"))
    if plain is None:
        return None
    return _json_reply({"plainToken": plain, "encryptedToken": _hmac(secret, plain).hexdigest()})


def _discord(_request: Request, body: Any, _secret: str) -> Reply | None:
    """Interactions ping with type 1, webhook events with type 0."""
    kind = _field(body, "type")
    if kind == 1 and _field(body, "event") is None:
        return _json_reply({"type": 1})
    return Reply(204) if kind == 0 else None


def _twitch(request: Request, body: Any, _secret: str) -> Reply | None:
    if request.header("twitch-eventsub-message-type") != "webhook_callback_verification":
        return None
    challenge = _challenge(_field(body, "challenge"))
    return None if challenge is None else Reply(200, TEXT, challenge)


def _event_grid(_request: Request, body: Any, _secret: str) -> Reply | None:
    event = body[0] if type(body) is list and len(body) == 1 else None
    if _field(event, "eventType") != "Microsoft.EventGrid.SubscriptionValidationEvent":
        return None
    code = _challenge(_field(_field(event, "data"), "validationCode"))
    return None if code is None else _json_reply({"validationResponse": code})


def _xero(_request: Request, body: Any, _secret: str) -> Reply | None:
    """Intent to receive: signed, and without events."""
    events = _field(body, "events")
    return Reply(200) if type(events) is list and not events else None


def _asana_heartbeat(_request: Request, body: Any, _secret: str) -> Reply | None:
    return Reply(200) if body == {"events": []} else None


def _sns(_request: Request, body: Any, _secret: str) -> Reply | None:
    if _field(body, "Type") != "SubscriptionConfirmation":
        return None
    url = _field(body, "SubscribeURL")
    return Reply(200, confirm_url=url) if type(url) is str else None


UNSIGNED: dict[str, Unsigned] = {
    "head": _head,
    "options": _options,
    "get_challenge": _get_challenge,
    "meta": _meta,
    "graph": _graph,
    "okta": _okta,
    "x_crc": _x_crc,
    "asana": _asana,
    "notion": _notion,
    "woocommerce": _woocommerce,
    "monday": _monday,
}

SIGNED: dict[str, Signed] = {
    "slack": _slack,
    "front": _front,
    "zoom": _zoom,
    "discord": _discord,
    "twitch": _twitch,
    "event_grid": _event_grid,
    "xero": _xero,
    "asana_heartbeat": _asana_heartbeat,
    "sns": _sns,
}
