"""Sign as the senders do whose signing no record describes."""

import base64
import hashlib
import hmac
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec

from service.preset import JwtVerification, PresetError
from service.receiving.request import Request
from service.signing.outgoing import Draft, Outgoing
from service.verification.contentful import SIGNED, TIMESTAMP, canonical_requests
from service.verification.paypal import ALGORITHM
from service.verification.sns import signed_content as sns_content
from service.verification.twilio import BODY_HASH, signed_fields

TOKEN_SECONDS = 3_600
SNS_CERTIFICATE = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-test.pem"
PAYPAL_CERTIFICATE = "https://api.paypal.com/v1/notifications/certs/CERT-test"


def sign_token(record: JwtVerification, secret: str, draft: Draft) -> Outgoing:
    """With a token of the record's claims. Where a claim is the source's secret, the sender's
    secret is that value, a line break, and the private key."""
    configured, _, private = secret.partition("\n")
    key = private if "{secret}" in record.claims.values() else secret
    claims: dict[str, Any] = {
        name: configured if value == "{secret}" else value for name, value in record.claims.items()
    }
    now = int(draft.now)
    claims |= {"iat": now, "exp": now + TOKEN_SECONDS}
    if record.issuer:
        claims["iss"] = record.issuer[0]
    if record.audience:
        claims["aud"] = record.audience.replace("{url}", draft.url)
    if record.body_hash:
        claims[record.body_hash.partition(":")[0]] = hashlib.sha256(draft.body).hexdigest()
    token = jwt.encode(claims, key, record.algs[0], headers={"kid": "hooksift"})
    name = record.source.split("|")[0].removeprefix("header:")
    return draft.with_headers(**{name: record.prefix.split("|")[0] + token})


def sign_sns(secret: str, draft: Draft) -> Outgoing:
    """As SNS, by a private key in PEM. Only a receiver that was given the key's certificate
    believes it."""
    message = msgspec.json.decode(draft.body)
    if not isinstance(message, dict):
        raise PresetError("the body must be a JSON object")
    moment = datetime.fromtimestamp(draft.now, UTC).isoformat(timespec="milliseconds")
    message["Timestamp"] = moment.replace("+00:00", "Z")
    signature = _rsa_signature(secret, sns_content(message))
    message |= {
        "SignatureVersion": "2",
        "Signature": signature,
        "SigningCertURL": SNS_CERTIFICATE,
    }
    signed = draft._replace(body=msgspec.json.encode(message))
    return signed.with_headers(**{"x-amz-sns-message-type": message["Type"]})


def sign_paypal(secret: str, draft: Draft) -> Outgoing:
    """As PayPal; the secret is the webhook id, a line break, and a private key in PEM."""
    webhook_id, _, private = secret.partition("\n")
    moment = datetime.fromtimestamp(draft.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    transmission = hashlib.sha256(draft.body).hexdigest()[:32]
    content = f"{transmission}|{moment}|{webhook_id}|{zlib.crc32(draft.body)}"
    return draft.with_headers(
        PAYPAL_TRANSMISSION_ID=transmission,
        PAYPAL_TRANSMISSION_TIME=moment,
        PAYPAL_TRANSMISSION_SIG=_rsa_signature(private, content.encode()),
        PAYPAL_CERT_URL=PAYPAL_CERTIFICATE,
        PAYPAL_AUTH_ALGO=ALGORITHM,
    )


def sign_contentful(secret: str, draft: Draft) -> Outgoing:
    """As Contentful, over content type, topic and the two headers that must be signed."""
    named = {name.lower(): value for name, value in draft.headers.items()}
    named[TIMESTAMP] = str(int(draft.now * 1_000))
    named[SIGNED] = ",".join(sorted([*named, SIGNED]))
    request = Request(draft.method, draft.url, [*named.items()], draft.body)
    content = next(canonical_requests(request))
    signature = hmac.digest(secret.encode(), content, "sha256").hex()
    outgoing = draft.with_headers(**{TIMESTAMP: named[TIMESTAMP], SIGNED: named[SIGNED]})
    outgoing.headers.append(("x-contentful-signature", signature))
    return outgoing


def sign_twilio(secret: str, draft: Draft) -> Outgoing:
    """As Twilio; a body that is no form is signed by its hash in the URL."""
    headers = [(name.lower(), value) for name, value in draft.headers.items()]
    fields = signed_fields(Request(draft.method, draft.url, headers, draft.body))
    if not fields and draft.body and BODY_HASH not in urlsplit(draft.url).query:
        mark = "&" if "?" in draft.url else "?"
        digest = hashlib.sha256(draft.body).hexdigest()
        draft = draft._replace(url=f"{draft.url}{mark}{BODY_HASH}={digest}")
    signature = hmac.digest(secret.encode(), (draft.url + fields).encode(), "sha1")
    return draft.with_headers(**{"X-Twilio-Signature": base64.b64encode(signature).decode()})


def _rsa_signature(private_pem: str, content: bytes) -> str:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(private_pem.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return base64.b64encode(key.sign(content, PKCS1v15(), SHA256())).decode()


SIGNERS: dict[str, Callable[[str, Draft], Outgoing]] = {
    "aws_sns": sign_sns,
    "paypal": sign_paypal,
    "contentful": sign_contentful,
    "twilio": sign_twilio,
}
