// Judges deliveries with the providers' own JavaScript libraries: a JSON list in, {id: true|false} out.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import https from "node:https";
import { EventEmitter } from "node:events";

const require = createRequire(`${process.cwd()}/package.json`);
const load = (name) => require(name);
const lower = (headers) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

async function github({ secret, body, headers }) {
  const folder = `${process.cwd()}/node_modules/@octokit/webhooks-methods`; // exports no CommonJS
  const { verify } = await import(pathToFileURL(`${folder}/dist-node/index.js`));
  return verify(secret, body, headers["x-hub-signature-256"]);
}

async function stripe({ secret, body, headers, now }) {
  const Stripe = load("stripe");
  const { webhooks } = new (Stripe.default ?? Stripe)("sk_test_unused");
  return webhooks.signature.verifyHeader(body, headers["stripe-signature"], secret, 300, undefined, now * 1000);
}

async function standard_webhooks({ secret, body, headers }) {
  const { Webhook } = load("standardwebhooks");
  new Webhook(secret).verify(body, headers); // throws otherwise
  return true;
}

async function slack({ secret, body, headers, now }) {
  const { isValidSlackRequest } = load("@slack/bolt/dist/receivers/verify-request.js");
  const named = {
    "x-slack-signature": headers["x-slack-signature"],
    "x-slack-request-timestamp": Number(headers["x-slack-request-timestamp"]),
  };
  return isValidSlackRequest({ signingSecret: secret, body, headers: named, nowMilliseconds: now * 1000 });
}

async function notion({ secret, body, headers }) {
  const { verifyWebhookSignature } = load("@notionhq/client");
  return verifyWebhookSignature({ body, signature: headers["x-notion-signature"], verificationToken: secret });
}

async function contentful({ secret, body, headers, url, method }) {
  const { verifyRequest } = load("@contentful/node-apps-toolkit");
  const { pathname, search } = new URL(url);
  return verifyRequest(secret, { method, path: pathname + search, headers, body }, 0);
}

async function discord({ publicKey, body, headers }) {
  const { verifyKey } = load("discord-interactions");
  return verifyKey(body, headers["x-signature-ed25519"], headers["x-signature-timestamp"], publicKey);
}

async function twilio({ secret, body, headers, url }) {
  const { validateRequest } = load("twilio");
  return validateRequest(secret, headers["x-twilio-signature"], url, Object.fromEntries(new URLSearchParams(body)));
}

async function linear({ secret, body, headers }) {
  const { LinearWebhookClient } = load("@linear/sdk/webhooks");
  return new LinearWebhookClient(secret).verify(Buffer.from(body), headers["linear-signature"]);
}

async function aws_sns({ certificate, body }) {
  const MessageValidator = load("sns-validator");
  https.get = (_, answer) => {
    const response = Object.assign(new EventEmitter(), { statusCode: 200, setEncoding() {} });
    setImmediate(() => {
      answer(response);
      response.emit("data", certificate);
      response.emit("end");
    });
    return new EventEmitter();
  };
  return new Promise((resolve) =>
    new MessageValidator().validate(body, (error) => resolve(!error)),
  );
}

async function svix({ secret, body, headers }) {
  const { Webhook } = load("svix");
  new Webhook(secret).verify(body, headers); // throws otherwise
  return true;
}

async function shopify({ secret, body, headers }) {
  load("@shopify/shopify-api/adapters/node");
  const { shopifyApi } = load("@shopify/shopify-api");
  const app = { apiKey: "unused", apiSecretKey: secret, hostName: "h.example", isEmbeddedApp: false };
  const { webhooks } = shopifyApi({ ...app, apiVersion: "2025-10", logger: { log() {} } });
  const rest = { "x-shopify-shop-domain": "h.example", "x-shopify-api-version": "2025-10" };
  const rawRequest = { method: "POST", url: "/", headers: { ...rest, ...headers } };
  const { valid } = await webhooks.validate({ rawBody: body, rawRequest, rawResponse: {} });
  return valid;
}

async function hubspot({ secret, body, headers, url, method }) {
  const { Signature } = load("@hubspot/api-client");
  return Signature.isValid({
    clientSecret: secret,
    method,
    requestBody: body,
    signature: headers["x-hubspot-signature-v3"],
    signatureVersion: "v3",
    timestamp: Number(headers["x-hubspot-request-timestamp"]),
    url,
  });
}

async function square({ secret, body, headers, url }) {
  const { WebhooksHelper } = load("square");
  const signatureHeader = headers["x-square-hmacsha256-signature"];
  return WebhooksHelper.verifySignature({
    requestBody: body,
    signatureHeader,
    signatureKey: secret,
    notificationUrl: url,
  });
}

async function paddle({ secret, body, headers }) {
  const { Paddle } = load("@paddle/paddle-node-sdk");
  return new Paddle("unused").webhooks.isSignatureValid(body, secret, headers["paddle-signature"]);
}

async function sendgrid({ publicKey, body, headers }) {
  const { EventWebhook, EventWebhookHeader } = load("@sendgrid/eventwebhook");
  const events = new EventWebhook();
  const [signature, moment] = [EventWebhookHeader.SIGNATURE(), EventWebhookHeader.TIMESTAMP()];
  return events.verifySignature(
    events.convertPublicKeyToECDSA(publicKey),
    body,
    headers[signature.toLowerCase()],
    headers[moment.toLowerCase()],
  );
}

async function line({ secret, body, headers }) {
  const { validateSignature } = load("@line/bot-sdk");
  return validateSignature(body, secret, headers["x-line-signature"]);
}

const judges = {
  ...{ svix, shopify, hubspot, square, paddle, sendgrid, line },
  ...{ github, stripe, standard_webhooks, slack, notion, contentful, discord, twilio, linear, aws_sns },
};
let stoppedAt; // the clock that libraries see: one allows five seconds, and starting takes longer
globalThis.Date = class extends Date {
  constructor(...given) {
    super(...(given.length ? given : [stoppedAt]));
  }
  static now() {
    return stoppedAt;
  }
};
const verdicts = {};
for (const delivery of JSON.parse(readFileSync(0, "utf8"))) {
  stoppedAt = Math.round(delivery.now * 1000);
  try {
    const judge = judges[delivery.preset];
    verdicts[delivery.id] = Boolean(await judge({ ...delivery, headers: lower(delivery.headers) }));
  } catch (error) {
    verdicts[delivery.id] = false;
    if (process.env.ORACLE_TRACE) console.error(delivery.id, error);
  }
}
console.log(JSON.stringify(verdicts));
