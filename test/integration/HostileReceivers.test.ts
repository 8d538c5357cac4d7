/** B–F, J76: hostile receivers of every kind at once, beside one webhook whose deliveries must arrive all the same. */
import { SqlClient } from "@effect/sql"
import { assert, layer, vi } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Schedule, Schema } from "effect"
import { eventually } from "../support/Eventually.ts"
import * as HostileReceivers from "../support/HostileReceivers.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import { Service } from "../support/SharedService.ts"

vi.setConfig({ testTimeout: 180_000 })

/** Of 25 kinds. */
const ofEachKind = 4
/** Of those who use it up; the others may take as long as a busy machine needs. */
const waitingMs = 4_000
const patientMs = 20_000
const lateMs = 1_000
const healthyEvents = 40

class Zoo extends Context.Tag("deeper-hub-webhooks/test/integration/HostileReceivers.test/Zoo")<
  Zoo,
  HostileReceivers.HostileReceivers
>() {
  static readonly layer = Layer.scoped(this, HostileReceivers.make(ofEachKind))
}

const service = Layer.unwrapEffect(Effect.map(Zoo, ({ nameserver }) =>
  Service.layer({
    LOG_LEVEL: "Error",
    WEBHOOKS_DNS_SERVERS: nameserver,
    // One attempt each, for as long as the test looks.
    WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS: "3600"
  }))).pipe(Layer.provideMerge(Zoo.layer))

const Rows = Schema.Array(Schema.Struct({
  kind: Schema.String,
  errorClass: Schema.NullOr(Schema.String),
  attempts: Schema.Int,
  latestMs: Schema.Int
}))

const attempts = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  sql`
    SELECT w.name AS kind, a.error_class, count(*)::int AS attempts, max(a.duration_ms)::int AS latest_ms
    FROM attempts a JOIN deliveries d ON d.id = a.delivery_id JOIN webhooks w ON w.id = d.webhook_id
    WHERE w.name IS NOT NULL GROUP BY w.name, a.error_class ORDER BY w.name
  `.pipe(Effect.flatMap(Schema.decodeUnknown(Rows))))

const registerAll = Effect.gen(function*() {
  const { api } = yield* Service
  const { receivers } = yield* Zoo
  yield* Effect.forEach(
    receivers,
    ({ kind, url, waits }) =>
      api.register({ name: kind, url, events: ["deal.*"], timeout_ms: waits ? waitingMs : patientMs }),
    { concurrency: 8, discard: true }
  )
  return receivers
})

layer(service, { timeout: "120 seconds", excludeTestServices: true })("hostile receivers of every kind", (it) => {
  it.scoped("end in time and as what they are, beside a webhook that gets all of its deliveries", () =>
    Effect.gen(function*() {
      const { api } = yield* Service
      const { sightings } = yield* Zoo
      const healthy = yield* ScriptedReceiver.make({ status: 200 })
      const { id } = yield* api.register({ url: healthy.url(), events: ["user.*"] })
      const receivers = yield* registerAll

      const beside = yield* Effect.fork(
        Effect.repeat(
          api.publish("user.created", {}),
          Schedule.zipRight(Schedule.spaced("50 millis"), Schedule.recurs(healthyEvents - 1))
        )
      )
      yield* api.publish("deal.won", { filling: "x".repeat(20_000) })
      const rows = yield* eventually(
        attempts,
        (found) => found.reduce((sum, row) => sum + row.attempts, 0) === receivers.length
      )
      yield* Fiber.join(beside)

      assert.deepStrictEqual(
        rows.map(({ attempts, errorClass, kind }) => ({ attempts, errorClass, kind })),
        [...new Map(receivers.map(({ errorClass, kind }) => [kind, errorClass]))]
          .map(([kind, errorClass]) => ({ attempts: ofEachKind, errorClass, kind }))
          .toSorted((a, b) => a.kind < b.kind ? -1 : 1)
      )
      const timeouts = new Map(receivers.map(({ kind, waits }) => [kind, waits ? waitingMs : patientMs]))
      const isInTime = (kind: string, ms: number) => assert.isAtMost(ms, (timeouts.get(kind) ?? 0) + lateMs, kind)
      for (const { kind, latestMs } of rows) isInTime(kind, latestMs)

      const delivered = yield* eventually(
        api.history(id, "?limit=100"),
        (all) => all.length === healthyEvents && all.every(({ status }) => status === "delivered")
      )
      assert.strictEqual(new Set(healthy.received.map(({ headers }) => headers["webhook-id"])).size, delivered.length)

      const seen = yield* eventually(sightings, ({ open }) => open === 0)
      for (const [kind, ms] of Object.entries(seen.longestMs)) isInTime(kind, ms)
    }))
})
