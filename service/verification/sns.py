"""AWS SNS: the signature, its certificate and the topic are in the body.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from collections.abc import Sequence
from typing import Any

from service.receiving.request import Refused, Request
from service.verification.candidates import body_before_proof
from service.verification.certificates import Certificates, check_rsa
from service.verification.keys import SecretError
from service.verification.known import KnownKeys
from service.verification.signatures import Verified
from service.verification.timestamps import check_window, seconds_of

HOSTS = r"sns\.[a-z0-9-]{3,}\.amazonaws\.com(\.cn)?"
SIGNED_FIELDS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
}
HASHES = {"1": "sha1", "2": "sha256"}


class SnsVerifier:
    """Accepts messages of the configured topics, the 'secrets' of such a source."""

    def __init__(self, topics: Sequence[str], tolerance_seconds: float, known: KnownKeys) -> None:
        if not topics or not all(topic.startswith("arn:") for topic in topics):
            raise SecretError("the secret must be the topic's ARN, such as arn:aws:sns:...")
        self._topics = topics
        self._tolerance = tolerance_seconds
        self._certificates = Certificates(HOSTS, known)

    def verify(self, request: Request, now: float) -> Verified:
        """Which topic the message is of. Raises `Refused`."""
        message = body_before_proof(request)
        if not isinstance(message, dict) or not isinstance(message.get("Signature"), str):
            raise Refused("missing_signature", "body has no Signature")
        version = str(message.get("SignatureVersion"))
        if version not in HASHES:
            raise Refused(
                "unsupported_version", f"SignatureVersion is {version[:10]!r}; 1 and 2 are read"
            )
        content = signed_content(message)
        url = message.get("SigningCertURL")
        if not isinstance(url, str) or not url.endswith(".pem"):
            raise Refused("cert_url_not_allowed", "SigningCertURL does not name a .pem file")
        check_rsa(self._certificates.key(url), message["Signature"], content, HASHES[version])
        signed_at = seconds_of(str(message.get("Timestamp")), "iso")
        check_window(signed_at, now, self._tolerance)
        return Verified(self._topic(message), None, signed_at)

    def _topic(self, message: dict[str, Any]) -> int:
        topic = message.get("TopicArn")
        if topic not in self._topics:
            raise Refused("topic_mismatch", f"message is of topic {str(topic)[:120]!r}")
        subscribe = message.get("SubscribeURL")
        if message.get("Type") == "SubscriptionConfirmation" and not (
            isinstance(subscribe, str) and self._certificates.allows(subscribe)
        ):
            raise Refused("subscribe_url_not_allowed", "SubscribeURL is not an address of SNS")
        return self._topics.index(topic)


def signed_content(message: dict[str, Any]) -> bytes:
    """The lines that SNS signs. Raises `Refused` for kinds of message that are not accepted."""
    fields = SIGNED_FIELDS.get(str(message.get("Type")))
    if fields is None:
        kind = str(message.get("Type"))[:40]
        raise Refused("unsupported_type", f"message type {kind!r} is not accepted")
    lines = []
    for field in fields:
        value = message.get(field)
        if value is None and field == "Subject":
            continue
        if not isinstance(value, str):
            raise Refused("missing_field", f"body field {field}, which is signed, is missing")
        lines.append(f"{field}\n{value}\n")
    return "".join(lines).encode()
