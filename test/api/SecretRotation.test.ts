import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { createHmac } from "node:crypto"
import { Webhook } from "standardwebhooks"
import { WebhookStore } from "../../src/persistence/WebhookStore.ts"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api, type Sender } from "../support/ApiTest.ts"

interface Signed {
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

const hex = (secret: string, text: string) => createHmac("sha256", secret).update(text).digest("hex")

/** Whether a receiver that knows this secret alone takes the request, in each of the schemes. */
const takes = (secret: string, { headers, text }: Signed) => {
  const [time = "", ...versions] = (headers["x-deeper_hub-signature"] ?? "").split(",")
  const ours = hex(secret, `${time.slice("t=".length)}.${headers["x-delivery-id"]}.${text}`)
  return {
    xSignature: [headers["x-signature"], headers["x-previous-signature"]].includes(hex(secret, text)),
    deeperHub: versions.includes(`v1=${ours}`),
    standardWebhooks: isGenuine(secret, { headers, text })
  }
}

const isGenuine = (secret: string, { headers, text }: Signed): boolean => {
  try {
    new Webhook(secret).verify(text, { ...headers })
    return true
  } catch {
    return false
  }
}

const all = { xSignature: true, deeperHub: true, standardWebhooks: true }
const none = { xSignature: false, deeperHub: false, standardWebhooks: false }

const rotate = (sender: Sender, id: string, body: object = {}) =>
  Effect.map(
    sender.post(`/api/webhooks/${id}/secret/rotate`, body),
    (answer) => expectStatus(answer, 200).json
  )

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Secret rotation", (it) => {
  it.scoped("M91 both secrets sign until the overlap is over, and then the new one alone", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const sql = yield* SqlClient.SqlClient
      const receiver = yield* Rows.receiver()
      const webhook = yield* Rows.register(a.client, { url: receiver.url(), events: ["m91.overlap"] })
      const rotated = yield* rotate(a.client, webhook.id, { overlap_seconds: 600 })
      assert.match(rotated.secret, /^whsec_/)
      assert.notStrictEqual(rotated.secret, webhook.secret)
      const overlapMs = Date.parse(rotated.previous_secret_expires_at) - Date.parse(rotated.updated_at)
      assert.strictEqual(overlapMs, 600_000)

      yield* Rows.deliver(a.client, "m91.overlap")
      yield* a.client.post(`/api/webhooks/${webhook.id}/ping`)
      assert.lengthOf(receiver.received, 2)
      for (const request of receiver.received) {
        assert.deepStrictEqual(takes(rotated.secret, request), all)
        assert.deepStrictEqual(takes(webhook.secret, request), all)
      }

      yield* sql`UPDATE webhooks SET previous_secret_expires_at = now() WHERE previous_secret_expires_at IS NOT NULL`
      yield* Rows.deliver(a.client, "m91.overlap")
      yield* a.client.post(`/api/webhooks/${webhook.id}/ping`)
      for (const request of receiver.received.slice(2)) {
        assert.deepStrictEqual(takes(rotated.secret, request), all)
        assert.deepStrictEqual(takes(webhook.secret, request), none)
        assert.notProperty(request.headers, "x-previous-signature")
      }
      assert.lengthOf(receiver.received, 4)
    }))

  it.scoped("M91 rotated under load, no request comes that a receiver of either secret would refuse", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const receiver = yield* Rows.receiver()
      const webhook = yield* Rows.register(a.client, { url: receiver.url(), events: ["m91.load"] })
      const secrets = [webhook.secret]
      const publishing = Effect.forEach(
        Array.from({ length: 150 }),
        () => Rows.deliver(a.client, "m91.load"),
        { concurrency: 10 }
      )
      const rotating = Effect.repeatN(
        Effect.map(rotate(a.client, webhook.id), ({ secret }) => secrets.push(secret)),
        7
      )
      const [deliveries] = yield* Effect.all([publishing, rotating], { concurrency: 2 })
      assert.deepStrictEqual(deliveries.map(({ status }) => status), deliveries.map(() => "delivered"))
      assert.lengthOf(secrets, 9)
      for (const request of receiver.received) {
        const known = secrets.map((secret, n) => isGenuine(secret, request) ? n : -1).filter((n) => n >= 0)
        assert.include([1, 2], known.length, "signed by one secret, or by two that follow one another")
        if (known.length === 2) assert.strictEqual(known[1], (known[0] ?? 0) + 1)
      }
      const overlapped = receiver.received.filter(({ headers }) => headers["x-previous-signature"] !== undefined)
      assert.isNotEmpty(overlapped)
    }))

  it.scoped("the secret is in no other answer, and a chosen one is taken as it is", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const receiver = yield* Rows.receiver()
      const { id } = yield* Rows.register(a.client, { url: receiver.url(), events: ["m91.chosen"] })
      const rotated = yield* rotate(a.client, id, {
        secret_key: "outra-chave-secreta",
        overlap_seconds: 0,
        secret_expires_at: "2031-01-01T00:00:00Z"
      })
      assert.strictEqual(rotated.secret, "outra-chave-secreta")
      assert.strictEqual(rotated.previous_secret_expires_at, null)
      const { secret: _, ...shown } = rotated
      assert.deepStrictEqual(yield* Rows.read(a.client, `/api/webhooks/${id}`), shown)
      yield* Rows.deliver(a.client, "m91.chosen")
      const [request] = receiver.received
      assert.strictEqual(request?.headers["x-signature"], hex("outra-chave-secreta", request?.text ?? ""))
      assert.notProperty(request?.headers, "x-previous-signature")
    }))

  it.effect("refuses the present secret, an overlap out of bounds and fields that are not there", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const { id, secret } = yield* Rows.register(a.client)
      const path = `/api/webhooks/${id}/secret/rotate`
      expectProblem(yield* a.client.post(path, { secret_key: secret }), 422, "secret_unchanged")
      expectProblem(yield* a.client.post(path, { overlap_seconds: -1 }), 422, "invalid_value")
      expectProblem(yield* a.client.post(path, { overlap_seconds: 2_592_001 }), 422, "invalid_value")
      expectProblem(yield* a.client.post(path, { overlap: 5 }), 422, "unknown_field")
      expectProblem(yield* a.viewer.post(path, {}), 403, "forbidden")
    }))

  it.effect("a change of the secret by PATCH ends the rotation: one secret signs", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const { id } = yield* Rows.register(a.client)
      yield* rotate(a.client, id)
      const patched = expectStatus(yield* a.client.patch(`/api/webhooks/${id}`, { secret_key: "chave-nova-1" }), 200)
      assert.strictEqual(patched.json.previous_secret_expires_at, null)
    }))

  it.scoped("a secret that cannot be opened any more is replaced, and the new one signs alone", () =>
    Effect.gen(function*() {
      const a = yield* Effect.flatMap(ApiTest, ({ newTenant }) => newTenant)
      const sql = yield* SqlClient.SqlClient
      const receiver = yield* Rows.receiver()
      const webhook = yield* Rows.register(a.client, { url: receiver.url(), events: ["m91.lost"] })
      const other = yield* Rows.register(a.client, { events: ["m91.other"] })
      const [moved] = yield* sql<{ id: string }>`
        UPDATE webhooks SET secret_sealed = (SELECT secret_sealed FROM webhooks ORDER BY created_at DESC LIMIT 1)
        WHERE url = ${webhook.url} RETURNING id
      `
      assert.isDefined(moved)
      const failed = yield* Rows.deliver(a.client, "m91.lost")
      assert.deepStrictEqual([failed.status, failed.error_class], ["failed_retryable", "secret_unreadable"])
      assert.notStrictEqual(other.secret, webhook.secret)
      assert.isEmpty(receiver.received, "M91 ciphertext moved between rows opens nowhere, so nothing was sent")
      const rotated = yield* rotate(a.client, webhook.id)
      assert.strictEqual(rotated.previous_secret_expires_at, null)
      const { id } = yield* Rows.deliver(a.client, "m91.lost")
      const request = receiver.received.find(({ headers }) => headers["x-delivery-id"] === id)
      assert(request)
      assert.deepStrictEqual(takes(rotated.secret, request), all)
    }))

  it.effect("a previous secret whose time is over is forgotten", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const sql = yield* SqlClient.SqlClient
      const store = yield* WebhookStore
      const { id } = yield* Rows.register(a.client)
      const { id: current } = yield* Rows.register(a.client)
      yield* rotate(a.client, id)
      yield* sql`UPDATE webhooks SET previous_secret_expires_at = now() WHERE previous_secret_sealed IS NOT NULL`
      yield* rotate(a.client, current)
      yield* store.expirePreviousSecrets
      const [left] = yield* sql<{ n: string }>`
        SELECT count(*)::text AS n FROM webhooks WHERE previous_secret_sealed IS NOT NULL
      `
      assert.strictEqual(left?.n, "1")
      assert.isNotNull((yield* Rows.read(a.client, `/api/webhooks/${current}`)).previous_secret_expires_at)
    }))
})
