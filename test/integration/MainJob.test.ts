/** The main job, from the outside: a webhook is registered, an event is published, and the receiver can trust it. */
import { assert, layer, vi } from "@effect/vitest"
import { Config, Effect, Queue } from "effect"
import { spawnSync } from "node:child_process"
import { createHmac } from "node:crypto"
import { fileURLToPath } from "node:url"
import { Webhook as StandardWebhook } from "standardwebhooks"
import { Webhook as SvixWebhook } from "svix"
import * as Child from "../support/Child.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import { checkout } from "../support/Service.ts"
import { Service } from "../support/SharedService.ts"

vi.setConfig({ testTimeout: 180_000 })

// Whoever has Python has the CRM document's receiver tested; the vectors in test/signing are for everybody.
const hasPython = spawnSync("python3", ["--version"]).error === undefined
const receiverScript = fileURLToPath(new URL("receiver.py", import.meta.url))

const secret = "chave-secreta"

/** What JSON libraries spell differently, and what they lose. */
const payloads = {
  floats: `{"value": 1000.00, "small": 1e-7, "large": 1e21, "zero": -0.0, "tiny": 5e-324, "plain": 0.1}`,
  integers: `{"beyond": 9007199254740993, "long": 123456789012345678901234567890, "negative": -9007199254740993}`,
  text: `{"title": "Novo Negócio", "greeting": "日本語", "party": "🎉👩‍👩‍👧", "escaped": "\\u00e9\\/\\n\\u0000"}`,
  empty: `{"object": {}, "array": [], "string": "", "null": null, "": {"": [{}, []]}}`,
  unsorted: `{"z": 1, "a": {"c": [{"y": 2, "b": 1}], "B": 0, "é": 1, "_": 2}, "10": 1, "9": 2}`,
  nothing: "{}"
}

const register = (url: URL | string, events: ReadonlyArray<string>, more: Readonly<Record<string, unknown>> = {}) =>
  Effect.flatMap(Service, ({ api }) => api.register({ url: String(url), events, ...more }))

const publish = (eventType: string, payload: unknown, occurredAt?: string) =>
  Effect.gen(function*() {
    const { api } = yield* Service
    const { deliveries, event_id } = yield* api.publish(
      eventType,
      payload,
      occurredAt === undefined ? {} : { occurredAt }
    )
    assert.lengthOf(deliveries, 1)
    return { eventId: event_id, deliveryId: deliveries[0]?.id ?? "" }
  })

const settled = (deliveryId: string) =>
  Effect.flatMap(Service, ({ api }) => eventually(api.delivery(deliveryId), ({ attempt_count }) => attempt_count > 0))

const hmac = (text: string) => createHmac("sha256", secret).update(text).digest("hex")

layer(Service.layer({ WEBHOOKS_RETRY_POLICY_MAX_ATTEMPTS: "3" }), {
  timeout: "180 seconds",
  excludeTestServices: true
})(
  "the main job",
  (it) => {
    it.scoped("one event becomes one signed POST with the headers and the body that are promised", () =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make({ status: 204 })
        const { id } = yield* register(receiver.url("/hook?a=1"), ["deal.created"], {
          secret_key: secret,
          headers: { "X-Custom-Header": "valor" }
        })
        const payload = `{"value": 1000.00, "title": "Novo Negócio", "id": 1, "status": "new"}`
        const { deliveryId, eventId } = yield* publish("deal.created", payload, "2025-02-20T09:34:00Z")
        const request = yield* soon(Queue.take(receiver.requests))

        const body = String.raw`{"created_at": "2025-02-20T09:34:00.000Z", "data": {"id": 1, "status": "new", ` +
          String.raw`"title": "Novo Neg\u00f3cio", "value": 1000.0}, "event_id": "${eventId}", ` +
          `"event_type": "deal.created"}`
        assert.strictEqual(request.text, body)
        assert.deepInclude(request, { method: "POST", path: "/hook?a=1" })
        const timestamp = request.headers["webhook-timestamp"] ?? ""
        assert.match(timestamp, /^\d{10}$/)
        assert.deepStrictEqual(headersOf(request.rawHeaders), {
          "Accept-Encoding": "identity",
          "Content-Type": "application/json",
          "User-Agent": "Claude-MCP-Webhook/1.0",
          "X-Custom-Header": "valor",
          "X-Deeper_Hub-Signature": `t=${timestamp},v1=${hmac(`${timestamp}.${deliveryId}.${body}`)}`,
          "X-Delivery-ID": deliveryId,
          "X-Event-Type": "deal.created",
          "X-Signature": hmac(body),
          "X-Webhook-ID": id,
          connection: "keep-alive",
          "content-length": String(body.length),
          host: receiver.url().host,
          "webhook-id": deliveryId,
          "webhook-signature": `v1,${
            createHmac("sha256", secret).update(`${deliveryId}.${timestamp}.${body}`).digest("base64")
          }`,
          "webhook-timestamp": timestamp
        })
      }))

    it.scoped("the receiver is asked once, and the history says so", () =>
      Effect.gen(function*() {
        const { api } = yield* Service
        const receiver = yield* ScriptedReceiver.make({ status: 200, body: "obrigado" })
        const { id } = yield* register(receiver.url(), ["proposal.*"], { secret_key: secret })
        const first = yield* publish("proposal.sent", payloads.integers)
        yield* settled(first.deliveryId)
        // Whatever would come twice would have come before this one.
        const second = yield* publish("proposal.accepted", payloads.text)
        const delivery = yield* settled(second.deliveryId)
        assert.deepStrictEqual(
          receiver.received.map(({ headers }) => headers["x-delivery-id"]),
          [first.deliveryId, second.deliveryId]
        )

        assert.deepInclude(delivery, { status: "delivered", event_id: second.eventId, last_response_code: 200 })
        assert.deepStrictEqual(delivery.attempts, [
          { number: 1, result: "success", error_class: null, response_code: 200 }
        ])
        assert.deepStrictEqual(delivery.payload, JSON.parse(receiver.received[1]?.text ?? ""))
        const stored = yield* api.send("GET", `/api/deliveries/${first.deliveryId}`)
        assert.include(stored.text, "9007199254740993", "no digit is lost on the way back")
        const history = yield* api.history(id)
        assert.deepStrictEqual(history.map((row) => row.id), [second.deliveryId, first.deliveryId], "newest first")
        assert.lengthOf(yield* api.history(id, "?status=failed_permanent"), 0)
        const event = yield* api.send("GET", `/api/events/${second.eventId}`)
        assert.include(event.text, second.deliveryId)
      }))

    it.scoped("the libraries of Standard Webhooks and Svix verify it", () =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make()
        const { secret: generated } = yield* register(receiver.url(), ["lead.created"])
        for (const payload of Object.values(payloads)) {
          yield* publish("lead.created", payload)
          const { headers, text } = yield* soon(Queue.take(receiver.requests))
          new StandardWebhook(generated).verify(text, headers)
          new SvixWebhook(generated).verify(text, headers)
          assert.throws(() => new StandardWebhook(generated).verify(`${text} `, headers))
        }
      }))

    it.scoped.runIf(hasPython)(
      "the receiver of the CRM document verifies it over its own re-serialisation",
      () =>
        Effect.gen(function*() {
          const path = yield* Config.string("PATH")
          const python = yield* Child.start("python3", [receiverScript, secret], { cwd: checkout, env: { PATH: path } })
          const [, port] = yield* soon(python.said(/PORT (\d+)/))
          const url = `http://127.0.0.1:${port}/webhook`
          yield* register(url, ["deal.won"], { secret_key: secret })
          for (const payload of Object.values(payloads)) {
            const { deliveryId } = yield* publish("deal.won", payload)
            yield* soon(python.said(new RegExp(`VALID ${deliveryId}`)))
            assert.strictEqual((yield* settled(deliveryId)).status, "delivered", payload)
          }
          assert.notInclude(yield* python.heard, "INVALID")

          yield* register(url, ["deal.lost"], { secret_key: "another-secret" })
          const { deliveryId } = yield* publish("deal.lost", payloads.text)
          assert.deepInclude(yield* settled(deliveryId), { status: "failed_permanent", error_class: "http_4xx" })
        })
    )
  }
)

/** Names as they were spelled; none may come twice. */
const headersOf = (raw: ReadonlyArray<string>): Readonly<Record<string, string>> => {
  const names = raw.filter((_, index) => index % 2 === 0)
  assert.strictEqual(new Set(names.map((name) => name.toLowerCase())).size, names.length)
  return Object.fromEntries(names.map((name, index) => [name, raw[2 * index + 1] ?? ""]))
}
