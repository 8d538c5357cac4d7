/** What is tried again, when, and how often: read from the rows, so that no test waits for a delay to pass. */
import { SqlClient } from "@effect/sql"
import { assert, layer, vi } from "@effect/vitest"
import { DateTime, Effect, Queue, Schema } from "effect"
import { DeliveryId, toUuid } from "../../src/domain/Ids.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import { Service } from "../support/SharedService.ts"

vi.setConfig({ testTimeout: 180_000 })

const policy = { baseMs: 10_000, factor: 6, maxMs: 600_000 }
const settings = {
  LOG_LEVEL: "Error",
  WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS: String(policy.baseMs / 1_000),
  WEBHOOKS_RETRY_POLICY_BACKOFF_FACTOR: String(policy.factor),
  WEBHOOKS_RETRY_POLICY_MAX_DELAY_SECONDS: String(policy.maxMs / 1_000)
}

/** A webhook of its own with one delivery to it. */
const deliver = (url: URL | string, options: Readonly<Record<string, unknown>> = {}) =>
  Effect.gen(function*() {
    const { api } = yield* Service
    const { id: webhookId } = yield* api.register({ url: String(url), events: ["integration.*"], ...options })
    const { deliveries } = yield* api.publish("integration.error", { case: webhookId })
    const deliveryId = deliveries.find((delivery) => delivery.webhook_id === webhookId)?.id ?? ""
    // The webhooks of earlier cases hear of no later ones.
    yield* api.send("PATCH", `/api/webhooks/${webhookId}`, { events: ["deal.won"] })
    return { deliveryId, webhookId }
  })

const attempted = (deliveryId: string, attempts = 1) =>
  Effect.flatMap(Service, ({ api }) => eventually(api.delivery(deliveryId), (row) => row.attempt_count >= attempts))

const decodeDelay = Schema.decodeUnknown(Schema.Tuple(Schema.Struct({ delayMs: Schema.NullOr(Schema.Number) })))

/** Exact: one statement records the failure at the webhook and the next attempt's time, by the same clock. */
const storedDelay = (deliveryId: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`
      SELECT (extract(epoch FROM d.next_retry_at - w.last_failure_at) * 1000)::float8 AS delay_ms
      FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id WHERE d.id = ${toUuid(DeliveryId.make(deliveryId))}
    `
    const [{ delayMs }] = yield* decodeDelay(rows)
    return delayMs ?? Number.NaN
  })

const dueNow = (deliveryId: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`UPDATE deliveries SET next_retry_at = now() WHERE id = ${toUuid(DeliveryId.make(deliveryId))}`
  )

const within = (delayMs: number, expectedMs: number, message?: string) => {
  assert.isAtLeast(delayMs, expectedMs * 0.8, message)
  assert.isAtMost(delayMs, expectedMs * 1.2, message)
}

interface Expected {
  readonly status: string
  readonly errorClass: string | null
  readonly result: string
}
const delivered: Expected = { status: "delivered", errorClass: null, result: "success" }
const retryable = (errorClass: string): Expected => ({
  status: "failed_retryable",
  errorClass,
  result: "failure_retryable"
})
const permanent = (errorClass: string): Expected => ({
  status: "failed_permanent",
  errorClass,
  result: "failure_permanent"
})

const statuses: ReadonlyArray<readonly [ReadonlyArray<number>, Expected]> = [
  [[200, 201, 202, 204, 205, 299], delivered],
  [[300, 301, 302, 303, 304, 307, 308], retryable("http_3xx")],
  [[400, 401, 403, 404, 405, 409, 413, 422, 451, 499], permanent("http_4xx")],
  [[408], retryable("http_408")],
  [[410], permanent("http_410")],
  [[425], retryable("http_425")],
  [[429], retryable("http_429")],
  [[500, 501, 502, 503, 504, 599], retryable("http_5xx")],
  [[600, 999], retryable("http_unexpected")]
]

const check = (deliveryId: string, { errorClass, result, status }: Expected, code: number | null) =>
  Effect.gen(function*() {
    const row = yield* attempted(deliveryId)
    assert.deepInclude(row, {
      status,
      error_class: errorClass,
      last_response_code: code,
      attempt_count: 1,
      attempts: [{ number: 1, result, error_class: errorClass, response_code: code }]
    })
    assert.strictEqual(row.next_retry_at === null, status !== "failed_retryable")
  })

/** A port on which nobody listens any more. */
const closedPort = Effect.scoped(Effect.map(ScriptedReceiver.make(), ({ port }) => port))

/** An HTTP-date so many seconds from now. */
const inSeconds = (seconds: number) =>
  Effect.map(DateTime.now, (now) => DateTime.toDate(DateTime.add(now, { seconds })).toUTCString())

layer(Service.layer(settings), { timeout: "180 seconds", excludeTestServices: true })("retries", (it) => {
  it.scoped("E40–E44 each status of an answer is a success, worth another try, or the end", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make(({ path }) => ({ status: Number(path.slice(1)) }))
      yield* Effect.forEach(
        statuses.flatMap(([codes, expected]) => codes.map((code) => ({ code, expected }))),
        ({ code, expected }) =>
          Effect.gen(function*() {
            const { deliveryId } = yield* deliver(receiver.url(`/${code}`))
            yield* check(deliveryId, expected, code)
          }),
        { concurrency: 4, discard: true }
      )
    }))

  it.scoped("C22–C25, E35 no answer at all is worth another try", () =>
    Effect.gen(function*() {
      const silent = yield* ScriptedReceiver.make("hang")
      const resetting = yield* ScriptedReceiver.make("reset")
      const timeout = yield* deliver(silent.url(), { timeout_ms: 200 })
      const reset = yield* deliver(resetting.url())
      const refused = yield* deliver(`http://127.0.0.1:${yield* closedPort}/`)
      yield* check(timeout.deliveryId, retryable("response_timeout"), null)
      yield* check(reset.deliveryId, retryable("connect_reset"), null)
      yield* check(refused.deliveryId, retryable("connect_refused"), null)
    }))

  it.scoped("the pauses grow by the factor up to the longest, each spread by 20 %", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make({ status: 500 })
      const { deliveryId, webhookId } = yield* deliver(receiver.url())
      const delays: Array<number> = []
      for (const [index, expectedMs] of [10_000, 60_000, 360_000, policy.maxMs].entries()) {
        yield* attempted(deliveryId, index + 1)
        const delayMs = yield* storedDelay(deliveryId)
        within(delayMs, expectedMs, `after attempt ${index + 1}`)
        delays.push(delayMs / expectedMs)
        yield* dueNow(deliveryId)
      }
      assert.isAbove(new Set(delays).size, 1, "the spread is drawn anew each time")
      assert.strictEqual((yield* attempted(deliveryId, 5)).status, "failed_permanent", "five attempts by default")
      const { api } = yield* Service
      assert.strictEqual((yield* api.webhook(webhookId)).failure_count, 5)
      const ids = receiver.received.map(({ headers }) => headers["x-delivery-id"])
      assert.deepStrictEqual(ids, Array.from({ length: 5 }, () => deliveryId), "every attempt names the same delivery")
      assert.strictEqual(new Set(receiver.received.map(({ text }) => text)).size, 1, "and carries the same body")
    }))

  it.scoped("E44 Retry-After is honoured, as seconds and as a date, up to the longest pause", () =>
    Effect.gen(function*() {
      const soonDate = yield* inSeconds(180)
      const cases: ReadonlyArray<
        readonly [status: number, value: string | ReadonlyArray<string>, from: number, to: number]
      > = [
        [429, "120", 120_000, 120_000],
        [503, "120", 120_000, 120_000],
        [429, soonDate, 120_000, 180_000],
        [503, "999999999", policy.maxMs, policy.maxMs],
        [503, "Fri, 31 Dec 9999 23:59:59 GMT", policy.maxMs, policy.maxMs],
        // Less than the pause that is due anyway.
        [429, "1", policy.baseMs * 0.8, policy.baseMs * 1.2],
        // Two of them: a pause that either would allow.
        [503, ["100", "200"], policy.baseMs * 0.8, 200_000]
      ]
      for (const [status, value, from, to] of cases) {
        const receiver = yield* ScriptedReceiver.make({ status, headers: { "Retry-After": value } })
        const { deliveryId } = yield* deliver(receiver.url())
        yield* attempted(deliveryId)
        const delayMs = yield* storedDelay(deliveryId)
        assert.isAtLeast(delayMs, from, String(value))
        assert.isAtMost(delayMs, to, String(value))
      }
    }))

  it.scoped("E45 a Retry-After that says nothing usable is ignored", () =>
    Effect.gen(function*() {
      const past = yield* inSeconds(-3_600)
      for (const value of ["-5", "1e309", "NaN", "soon", "1.5", "0x10", "", past]) {
        const receiver = yield* ScriptedReceiver.make({ status: 503, headers: { "Retry-After": value } })
        const { deliveryId } = yield* deliver(receiver.url())
        assert.strictEqual((yield* attempted(deliveryId)).status, "failed_retryable")
        within(yield* storedDelay(deliveryId), policy.baseMs, String(value))
      }
    }))

  it.scoped("a webhook's retry_count is the number of its attempts", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make({ status: 500 })
      const once = yield* deliver(receiver.url(), { retry_count: 1 })
      const row = yield* attempted(once.deliveryId)
      assert.deepInclude(row, { status: "failed_permanent", error_class: "http_5xx", next_retry_at: null })
      assert.strictEqual(row.attempts[0]?.result, "failure_retryable", "what ended it was the count, not the answer")

      const thrice = yield* deliver(receiver.url(), { retry_count: 3 })
      for (const attempt of [1, 2]) {
        assert.strictEqual((yield* attempted(thrice.deliveryId, attempt)).status, "failed_retryable")
        yield* dueNow(thrice.deliveryId)
      }
      const last = yield* attempted(thrice.deliveryId, 3)
      assert.strictEqual(last.status, "failed_permanent")
      assert.deepStrictEqual(last.attempts.map(({ number }) => number), [1, 2, 3])
    }))

  it.scoped("a retry that succeeds ends the delivery and the webhook's failures", () =>
    Effect.gen(function*() {
      const { api } = yield* Service
      const receiver = yield* ScriptedReceiver.make([{ status: 500 }, { status: 200 }])
      const { deliveryId, webhookId } = yield* deliver(receiver.url())
      yield* attempted(deliveryId)
      yield* dueNow(deliveryId)
      const row = yield* attempted(deliveryId, 2)
      assert.deepInclude(row, { status: "delivered", error_class: null, next_retry_at: null })
      assert.deepStrictEqual(row.attempts.map(({ result }) => result), ["failure_retryable", "success"])
      assert.strictEqual((yield* api.webhook(webhookId)).failure_count, 0)
    }))

  it.scoped("E43 410 switches the webhook off; what comes later is held until it is switched on", () =>
    Effect.gen(function*() {
      const { api } = yield* Service
      const receiver = yield* ScriptedReceiver.make([{ status: 410 }, { status: 200 }])
      const { id } = yield* api.register({ url: receiver.url(), events: ["lead.*"] })
      const gone = yield* api.publish("lead.created", {})
      yield* check(gone.deliveries[0]?.id ?? "", permanent("http_410"), 410)
      assert.deepInclude(yield* api.webhook(id), { is_active: false, deactivation_reason: "gone" })

      const later = yield* api.publish("lead.updated", {})
      const [delivery] = later.deliveries
      assert(delivery, "the delivery is made all the same")
      const held = yield* eventually(api.delivery(delivery.id), ({ hold }) => hold !== null)
      assert.deepInclude(held, { hold: "deactivated", status: "pending", attempt_count: 0 })
      assert.lengthOf(receiver.received, 1)

      yield* api.send("PATCH", `/api/webhooks/${id}`, { is_active: true })
      const row = yield* attempted(delivery.id)
      assert.deepInclude(row, { status: "delivered", hold: null, attempt_count: 1 })
      assert.strictEqual(receiver.received[1]?.headers["x-delivery-id"], delivery.id)
    }))

  it.scoped("a webhook that its owner switched off matches nothing", () =>
    Effect.gen(function*() {
      const { api } = yield* Service
      const { id } = yield* api.register({ url: "http://127.0.0.1:8080/", events: ["user.*"], is_active: false })
      assert.deepInclude(yield* api.webhook(id), { is_active: false, deactivation_reason: "owner" })
      assert.lengthOf((yield* api.publish("user.created", {})).deliveries, 0)
    }))

  it.scoped("what waits for a deleted webhook ends, and nothing more is sent", () =>
    Effect.gen(function*() {
      const { api } = yield* Service
      const receiver = yield* ScriptedReceiver.make({ status: 500 })
      const { deliveryId, webhookId } = yield* deliver(receiver.url())
      yield* attempted(deliveryId)
      assert.strictEqual((yield* api.send("DELETE", `/api/webhooks/${webhookId}`)).status, 204)
      yield* dueNow(deliveryId)
      const row = yield* eventually(api.delivery(deliveryId), ({ status }) => status === "failed_permanent")
      assert.strictEqual(row.error_class, "webhook_deleted")
      assert.lengthOf(receiver.received, 1)
    }))

  it.scoped("a delivery is sent again by hand, with all its attempts before it", () =>
    Effect.gen(function*() {
      const { api } = yield* Service
      const receiver = yield* ScriptedReceiver.make([{ status: 400 }, { status: 200 }])
      const { deliveryId } = yield* deliver(receiver.url(), { retry_count: 1 })
      assert.strictEqual((yield* attempted(deliveryId)).status, "failed_permanent")
      yield* soon(Queue.take(receiver.requests))
      const answer = yield* api.send("POST", `/api/deliveries/${deliveryId}/retry?wait_ms=10000`)
      assert.strictEqual(answer.status, 200)
      assert.deepInclude(JSON.parse(answer.text), { status: "delivered", attempt_count: 2 })
      assert.strictEqual(receiver.received[1]?.headers["x-delivery-id"], deliveryId)
    }))
})
