"""Judges deliveries with the providers' own Python libraries: a JSON list in, {id: bool} out."""

import json
import sys
from typing import Any
from urllib.parse import parse_qsl


def twilio(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from twilio.request_validator import RequestValidator

    fields = dict(parse_qsl(delivery["body"], keep_blank_values=True))
    validator = RequestValidator(delivery["secret"])
    return bool(validator.validate(delivery["url"], fields, headers["x-twilio-signature"]))


def sendgrid(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from sendgrid.helpers.eventwebhook import EventWebhook

    name = "x-twilio-email-event-webhook"
    return bool(
        EventWebhook(delivery["publicKey"]).verify_signature(
            delivery["body"], headers[f"{name}-signature"], headers[f"{name}-timestamp"]
        )
    )


def hubspot(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from hubspot.utils.signature import Signature

    return bool(
        Signature.is_valid(
            signature=headers["x-hubspot-signature-v3"],
            client_secret=delivery["secret"],
            request_body=delivery["body"],
            http_uri=delivery["url"],
            http_method=delivery["method"],
            signature_version="v3",
            timestamp=headers["x-hubspot-request-timestamp"],
        )
    )


def square(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from square.utils.webhooks_helper import verify_signature

    return bool(
        verify_signature(
            request_body=delivery["body"],
            signature_header=headers["x-square-hmacsha256-signature"],
            signature_key=delivery["secret"],
            notification_url=delivery["url"],
        )
    )


def paddle(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from paddle_billing.Notifications.PaddleSignature import PaddleSignature
    from paddle_billing.Notifications.Secret import Secret

    header = headers["paddle-signature"]
    return bool(PaddleSignature().verify(header, delivery["body"], Secret(delivery["secret"])))


def discord(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from discord_interactions import verify_key

    signature, moment = headers["x-signature-ed25519"], headers["x-signature-timestamp"]
    return bool(verify_key(delivery["body"].encode(), signature, moment, delivery["publicKey"]))


def box(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from box_sdk_gen.managers.webhooks import WebhooksManager

    return bool(WebhooksManager.validate_message(delivery["body"], headers, delivery["secret"]))


def line(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from linebot.v3.webhook import SignatureValidator

    validator = SignatureValidator(delivery["secret"])
    return bool(validator.validate(delivery["body"], headers["x-line-signature"]))


def stripe(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from stripe import WebhookSignature

    verify = WebhookSignature.verify_header
    return bool(verify(delivery["body"], headers["stripe-signature"], delivery["secret"], 300))


def slack(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from slack_sdk.signature import SignatureVerifier

    return bool(SignatureVerifier(delivery["secret"]).is_valid_request(delivery["body"], headers))


def standard_webhooks(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from standardwebhooks.webhooks import Webhook

    Webhook(delivery["secret"]).verify(delivery["body"], headers)  # raises otherwise
    return True


def svix(delivery: dict[str, Any], headers: dict[str, str]) -> bool:
    from svix.webhooks import Webhook

    Webhook(delivery["secret"]).verify(delivery["body"], headers)  # raises otherwise
    return True


JUDGES = {
    judge.__name__: judge
    for judge in (
        *(twilio, sendgrid, hubspot, square, paddle, discord, box, line),
        *(stripe, slack, standard_webhooks, svix),
    )
}


def main() -> None:
    """Print the verdicts."""
    verdicts = {}
    for delivery in json.load(sys.stdin):
        headers = {name.lower(): value for name, value in delivery["headers"].items()}
        try:
            verdicts[delivery["id"]] = JUDGES[delivery["preset"]](delivery, headers)
        except Exception as error:  # noqa: BLE001 - a library's own error is its refusal
            verdicts[delivery["id"]] = False
            print(delivery["id"], repr(error), file=sys.stderr)
    print(json.dumps(verdicts))


if __name__ == "__main__":
    main()
