/** Clocks that are wrong: the node's, and the database's. What is due is the database's to say; no wait grows by an error. */
import { SqlClient } from "@effect/sql"
import { assert, layer } from "@effect/vitest"
import { Clock, Effect, Queue } from "effect"
import { fileURLToPath } from "node:url"
import * as EmbeddedService from "../support/EmbeddedService.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Service from "../support/Service.ts"

const hourMs = 3_600_000
const shifted = fileURLToPath(new URL("../support/shiftedClock.ts", import.meta.url))

const settings = {
  WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS: "1",
  WEBHOOKS_RETRY_POLICY_MAX_DELAY_SECONDS: "1"
}

/** A service whose clock is off by so much, on a database of its own. */
const serve = (shiftMs: number) =>
  Effect.gen(function*() {
    const env = { ...settings, DATABASE_URL: yield* PgTest.url, CLOCK_SHIFT_MS: String(shiftMs) }
    return yield* Service.serve({ dataDirectory: yield* EmbeddedService.directory(), env, preload: shifted })
  })

const options = { timeout: "180 seconds", excludeTestServices: true } as const

for (const shiftMs of [hourMs, -hourMs]) {
  layer(PgTest.layer, options)("the clock of a node", (it) => {
    it.scoped(`I72, I74 a node's clock that is off by ${shiftMs / hourMs} h moves no wait, and is told of`, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const receiver = yield* ScriptedReceiver.make([{ status: 503 }, { status: 200 }])
        const service = yield* serve(shiftMs)
        const type = `clock.${shiftMs > 0 ? "ahead" : "behind"}`
        yield* service.api.register({ url: receiver.url().href, events: [type] })
        const { deliveries: [delivery] } = yield* service.api.publish(type, {})
        assert(delivery)
        const first = yield* soon(Queue.take(receiver.requests))
        const second = yield* soon(Queue.take(receiver.requests))
        assert.strictEqual(first.headers["x-delivery-id"], second.headers["x-delivery-id"])
        yield* eventually(service.api.delivery(delivery.id), ({ status }) => status === "delivered")
        const rows = yield* sql`
          SELECT count(*)::int AS attempts, abs(extract(epoch FROM min(d.delivered_at) - clock_timestamp())) < 60 AS recent
          FROM attempts a JOIN deliveries d ON d.id = a.delivery_id WHERE d.event_type = ${type}`
        assert.deepStrictEqual(rows, [{ attempts: 2, recent: true }])
        const stamped = Number(first.headers["webhook-timestamp"]) * 1_000
        assert.closeTo(
          stamped,
          (yield* Clock.currentTimeMillis) + shiftMs,
          120_000,
          "the attempt's time, by the clock of the node"
        )
        yield* soon(service.said(/clock and the database's are apart/))
        assert.strictEqual((yield* service.kill("SIGTERM")).code, 0)
      }))
  })
}

layer(PgTest.layer, options)("the clock of the database", (it) => {
  it.scoped("I73 a database's clock that was put back by an hour stalls nothing and repeats nothing", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const receiver = yield* ScriptedReceiver.make([{ status: 503 }, { status: 200 }])
      const service = yield* serve(0)
      yield* service.api.register({ url: receiver.url().href, events: ["put.back"], retry_count: 5 })
      const { deliveries: [delivery] } = yield* service.api.publish("put.back", {})
      assert(delivery)
      yield* soon(Queue.take(receiver.requests))
      yield* eventually(service.api.delivery(delivery.id), ({ status }) => status === "failed_retryable")
      // An hour later by every row is an hour earlier by the clock.
      yield* sql.withTransaction(Effect.all([
        sql`UPDATE database_clock SET seen = seen + interval '1 hour'`,
        sql`UPDATE deliveries SET next_retry_at = next_retry_at + interval '1 hour' WHERE next_retry_at IS NOT NULL`
      ]))
      yield* soon(Queue.take(receiver.requests))
      yield* eventually(service.api.delivery(delivery.id), ({ status }) => status === "delivered")
      assert.lengthOf(receiver.received, 2)
      yield* soon(service.said(/clock was put back/))
      assert.strictEqual((yield* service.kill("SIGTERM")).code, 0)
    }))
})
