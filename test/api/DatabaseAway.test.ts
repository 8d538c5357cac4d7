import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { type Answer, ApiTest, expectProblem, expectStatus, make } from "../support/ApiTest.ts"
import { DatabaseProxy } from "../support/DatabaseProxy.ts"
import { eventually } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"

const Api = make({
  databaseUrl: Effect.map(DatabaseProxy, ({ url }) => url),
  settings: { DATABASE_QUERY_TIMEOUT_SECONDS: "1" }
}).pipe(Layer.provideMerge(DatabaseProxy.layer), Layer.provideMerge(PgTest.layer))

const expectAway = (answer: Answer) => {
  const { headers, json } = expectProblem(answer, 503, "retry_same_key")
  assert.match(headers["retry-after"] ?? "", /^[1-9]\d*$/)
  assert.include(json.detail, "Idempotency-Key")
}

const publish = (n: number) =>
  Effect.flatMap(
    ApiTest,
    ({ a }) =>
      a.client.post("/api/events", { event_type: "away.tested", payload: { n } }, { "idempotency-key": `away-${n}` })
  )

const published = (n: number) =>
  Effect.gen(function*() {
    const { a } = yield* ApiTest
    const { data } = yield* Rows.read(a.client, "/api/events?event_type=away.tested&limit=200")
    const listed: ReadonlyArray<{ readonly id: string }> = data
    const events = yield* Effect.forEach(listed, ({ id }) => Rows.read(a.client, `/api/events/${id}`))
    return events.filter(({ payload }) => payload.n === n)
  })

/** The pool finds its dead connections one by one. */
const ready = Effect.flatMap(ApiTest, ({ nobody }) => eventually(nobody.get("/readyz"), ({ status }) => status === 200))

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Database away", (it) => {
  it.effect("H64 every request says to come back, and with what key; the process lives and is not ready", () =>
    Effect.gen(function*() {
      const { a, nobody, operator } = yield* ApiTest
      const proxy = yield* DatabaseProxy
      expectStatus(yield* nobody.get("/readyz"), 200)
      yield* proxy.cut
      expectAway(yield* publish(1))
      const others = yield* Effect.all([
        a.viewer.get("/api/webhooks"),
        a.viewer.get("/api/event-types"),
        a.client.post("/api/webhooks", { url: Rows.deadUrl, events: ["*"] }),
        a.client.get("/api/deliveries/dlv_01jmh2v3s8e5xt6dq4t9v0r1kz"),
        operator.get("/api/system")
      ])
      others.forEach(expectAway)
      expectProblem(yield* nobody.get("/readyz"), 503, "database_unreachable")
      assert.deepStrictEqual(yield* Rows.read(nobody, "/healthz"), { status: "ok" })
      expectStatus(yield* nobody.get("/metrics"), 200)
      expectProblem(yield* nobody.get("/api/webhooks"), 401, "unauthorized")
      yield* proxy.mend
      yield* ready
      expectStatus(yield* publish(1), 202)
      assert.lengthOf(yield* published(1), 1)
    }))

  it.effect("H65 an answer that was lost on its way is given again to the same key, and nothing is published twice", () =>
    Effect.gen(function*() {
      const proxy = yield* DatabaseProxy
      yield* proxy.loseAnswerTo("INSERT INTO events")
      expectAway(yield* publish(2))
      yield* ready
      const [event, ...more] = yield* published(2)
      assert.isEmpty(more)
      const { json } = expectStatus(yield* publish(2), 202)
      assert.strictEqual(json.event_id, event.id)
      assert.lengthOf(yield* published(2), 1)
    }))

  it.effect("H65 a change whose commit or rollback meets a lost connection is no fault of ours", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const proxy = yield* DatabaseProxy
      const register = a.client.post("/api/webhooks", { url: Rows.deadUrl, events: ["away.never"] })
      for (const lost of ["COMMIT", "INSERT INTO audit_log", "INSERT INTO webhooks"]) {
        yield* proxy.loseAnswerTo(lost)
        expectAway(yield* register)
        yield* ready
      }
      const { data } = yield* Rows.read(a.client, "/api/webhooks")
      const { data: entries } = yield* Rows.read(a.client, "/api/audit?action=webhook.created")
      assert.strictEqual(entries.length, data.length, "neither is there without the other")
    }))

  it.effect("H67 a database that falls silent is one that is away", () =>
    Effect.gen(function*() {
      const { nobody } = yield* ApiTest
      const proxy = yield* DatabaseProxy
      yield* proxy.silence
      const [event, readiness] = yield* Effect.all([publish(3), nobody.get("/readyz")], { concurrency: 2 })
      expectAway(event)
      expectProblem(readiness, 503, "database_unreachable")
      expectStatus(yield* nobody.get("/healthz"), 200)
      yield* proxy.mend
      yield* ready
      expectStatus(yield* publish(3), 202)
      assert.lengthOf(yield* published(3), 1)
    }))

  it.effect("H69 a database that takes no writes is none to send requests to, and no reason to end the process", () =>
    Effect.gen(function*() {
      const { nobody } = yield* ApiTest
      const proxy = yield* DatabaseProxy
      const sql = yield* SqlClient.SqlClient
      const [{ name = "" } = {}] = yield* sql<{ readonly name: string }>`SELECT current_database() AS name`
      // A standby says the same of each of its transactions. A connection learns of it when it is opened.
      const readOnly = (value: "off" | "on") =>
        sql.unsafe(`BEGIN READ WRITE; ALTER DATABASE ${name} SET default_transaction_read_only = ${value}; COMMIT`)
          .pipe(
            Effect.zipRight(proxy.cut),
            Effect.zipRight(proxy.mend)
          )
      const readiness = (code: string | undefined) =>
        eventually(nobody.get("/readyz"), ({ json }) => json?.code === code)
      yield* readOnly("on")
      const { json } = expectProblem(yield* readiness("database_read_only"), 503, "database_read_only")
      assert.include(json.detail, "takes no writes")
      assert.deepStrictEqual(yield* Rows.read(nobody, "/healthz"), { status: "ok" })
      expectAway(yield* publish(4))
      yield* readOnly("off")
      yield* readiness(undefined)
      expectStatus(yield* publish(4), 202)
    }))

  it.scoped("H64 what was accepted before is delivered after", () =>
    Effect.gen(function*() {
      const { attempted, newTenant } = yield* ApiTest
      const proxy = yield* DatabaseProxy
      const { client } = yield* newTenant
      const receiver = yield* Rows.receiver()
      yield* Rows.register(client, { url: receiver.url() })
      const { deliveries: [delivery] } = yield* Rows.publish(client, "deal.won")
      yield* proxy.cut
      yield* proxy.mend
      yield* attempted(delivery.id)
      yield* ready
      assert.strictEqual((yield* Rows.read(client, `/api/deliveries/${delivery.id}`)).status, "delivered")
    }))
})
