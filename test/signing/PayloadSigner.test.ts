import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Either, FastCheck, Redacted } from "effect"
import { Buffer } from "node:buffer"
import { createHmac } from "node:crypto"
import { Webhook as StandardWebhook } from "standardwebhooks"
import { Webhook as Svix } from "svix"
import { DeliveryId, WebhookId } from "../../src/domain/Ids.ts"
import { JsonValue } from "../../src/domain/Json.ts"
import { allSignatureSchemes, type SignatureScheme } from "../../src/domain/SignatureScheme.ts"
import { stringify } from "../../src/signing/CanonicalJson.ts"
import { PayloadSigner, type SigningRequest } from "../../src/signing/PayloadSigner.ts"
import * as Secret from "../../src/signing/Secret.ts"
import vectors from "./vectors.json" with { type: "json" }

const webhookId = WebhookId.make("whk_01jmh2v3s8e5xt6dq4t9v0r1kz")
const deliveryId = DeliveryId.make("dlv_01jmh2v3s8e5xt6dq4t9v0r1kz")
const chosen = Redacted.make("chave-secreta")

const request = (fields: Partial<SigningRequest>): SigningRequest => ({
  webhookId,
  deliveryId,
  eventType: "deal.created",
  timestamp: 1740044040,
  body: `{"id": 1, "value": 1000.0}`,
  secret: chosen,
  previousSecret: null,
  schemes: allSignatureSchemes,
  ...fields
})

const sign = (fields: Partial<SigningRequest>) =>
  PayloadSigner.pipe(
    Effect.map((signer) => ({ ...signer.sign(request(fields)) })),
    Effect.provide(PayloadSigner.layer)
  )

// Receivers' libraries hold the timestamp against the real clock.
const unixSeconds = Effect.map(Clock.make().currentTimeMillis, (millis) => Math.floor(millis / 1000))

const hmac = (key: string, text: string): string => createHmac("sha256", key).update(text).digest("hex")

/** Our own scheme, verified as its documentation tells receivers to. */
const verifiesDeeperHub = (header: string, secret: string, body: string): boolean => {
  const parts = header.split(",").map((part) => part.split("="))
  const timestamp = parts.find(([name]) => name === "t")?.[1]
  const expected = hmac(secret, `${timestamp}.${deliveryId}.${body}`)
  return parts.some(([name, value]) => name === "v1" && value === expected)
}

const receivers = (secret: Redacted.Redacted) => {
  const text = Redacted.value(secret)
  return text.startsWith("whsec_")
    ? [new StandardWebhook(text), new Svix(text)]
    : [new StandardWebhook(text, { format: "raw" }), new Svix(text, { format: "raw" })]
}

describe("the headers", () => {
  it.effect("are exactly those of the design", () =>
    Effect.gen(function*() {
      const body = request({}).body
      assert.deepStrictEqual(yield* sign({}), {
        "Content-Type": "application/json",
        "X-Webhook-ID": webhookId,
        "X-Delivery-ID": deliveryId,
        "X-Event-Type": "deal.created",
        "X-Signature": hmac("chave-secreta", body),
        "X-Deeper_Hub-Signature": `t=1740044040,v1=${hmac("chave-secreta", `1740044040.${deliveryId}.${body}`)}`,
        "webhook-id": deliveryId,
        "webhook-timestamp": "1740044040",
        "webhook-signature": `v1,${
          createHmac("sha256", "chave-secreta").update(`${deliveryId}.1740044040.${body}`).digest("base64")
        }`
      })
    }))

  it.effect("hold only the schemes that the webhook chose", () =>
    Effect.gen(function*() {
      const added = (scheme: SignatureScheme) =>
        Effect.map(sign({ schemes: [scheme], previousSecret: Redacted.make("a-old-secret") }), (headers) =>
          Object.keys(headers).slice(4))
      assert.deepStrictEqual(yield* added("x_signature"), ["X-Signature", "X-Previous-Signature"])
      assert.deepStrictEqual(yield* added("deeper_hub"), ["X-Deeper_Hub-Signature"])
      assert.deepStrictEqual(yield* added("standard_webhooks"), [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature"
      ])
      assert.lengthOf(Object.keys(yield* sign({ schemes: [] })), 4)
    }))
})

describe("X-Signature", () => {
  it.effect("is what the CRM document's Python computes", () =>
    Effect.gen(function*() {
      const secret = Redacted.make(vectors.secret)
      for (const { canonical, signature } of vectors.vectors) {
        const headers = yield* sign({ body: canonical, secret, schemes: ["x_signature"] })
        assert.strictEqual(headers["X-Signature"], signature)
      }
    }))
})

describe("Standard Webhooks", () => {
  it.effect("is verified by standardwebhooks and svix, for generated and chosen secrets", () =>
    Effect.gen(function*() {
      const timestamp = yield* unixSeconds
      for (const secret of [yield* Secret.generate, chosen]) {
        const headers = yield* sign({ secret, timestamp })
        for (const receiver of receivers(secret)) {
          assert.deepStrictEqual(receiver.verify(request({}).body, headers), { id: 1, value: 1000 })
        }
      }
    }))

  it.effect("is refused by them under another secret, time, id or body", () =>
    Effect.gen(function*() {
      const timestamp = yield* unixSeconds
      const secret = yield* Secret.generate
      const headers = yield* sign({ secret, timestamp })
      const { body } = request({})
      for (const receiver of receivers(secret)) {
        assert.throws(() => receiver.verify(`${body} `, headers))
        assert.throws(() => receiver.verify(body, { ...headers, "webhook-id": webhookId }))
        assert.throws(() => receiver.verify(body, { ...headers, "webhook-timestamp": String(timestamp + 1) }))
      }
      for (const receiver of receivers(yield* Secret.generate)) assert.throws(() => receiver.verify(body, headers))
    }))
})

describe("during a rotation", () => {
  it.effect("the new and the old secret verify in every scheme, the new one first", () =>
    Effect.gen(function*() {
      const timestamp = yield* unixSeconds
      const { body } = request({})
      const [secret, previousSecret] = [yield* Secret.generate, chosen]
      const headers = yield* sign({ secret, previousSecret, timestamp })
      assert.strictEqual(headers["X-Signature"], hmac(Redacted.value(secret), body))
      assert.strictEqual(headers["X-Previous-Signature"], hmac(Redacted.value(previousSecret), body))
      for (const either of [secret, previousSecret]) {
        assert.isTrue(verifiesDeeperHub(headers["X-Deeper_Hub-Signature"] ?? "", Redacted.value(either), body))
        for (const receiver of receivers(either)) assert.doesNotThrow(() => receiver.verify(body, headers))
      }
      const alone = yield* sign({ secret, timestamp })
      for (const name of ["X-Deeper_Hub-Signature", "webhook-signature"]) {
        assert.isTrue(headers[name]?.startsWith(alone[name] ?? "missing"))
      }
    }))
})

describe("tampering", () => {
  it.effect.prop(
    "with any byte of the body fails in every scheme",
    [JsonValue, FastCheck.nat(), FastCheck.integer({ min: 1, max: 127 })],
    ([json, at, flip]) =>
      Effect.gen(function*() {
        const body = stringify(json)
        const headers = yield* sign({ body, timestamp: yield* unixSeconds })
        const bytes = Buffer.from(body)
        const index = at % bytes.length
        bytes[index] = (bytes[index] ?? 0) ^ flip
        const tampered = bytes.toString()
        assert.isTrue(verifiesDeeperHub(headers["X-Deeper_Hub-Signature"] ?? "", "chave-secreta", body))
        assert.notStrictEqual(headers["X-Signature"], hmac("chave-secreta", tampered))
        assert.isFalse(verifiesDeeperHub(headers["X-Deeper_Hub-Signature"] ?? "", "chave-secreta", tampered))
        const [standard] = receivers(chosen)
        assert.isTrue(Either.isRight(Either.try(() => standard?.verify(body, headers))))
        assert.isTrue(Either.isLeft(Either.try(() => standard?.verify(tampered, headers))))
      })
  )
})
