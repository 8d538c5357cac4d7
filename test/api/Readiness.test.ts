/** Whether to send requests here is known within a second, however long statements may take. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Redacted } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, make } from "../support/ApiTest.ts"
import { DatabaseProxy } from "../support/DatabaseProxy.ts"
import { eventually } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"

const connections = 6

/** Statements may take far longer than anybody waits for the answer of a probe. */
const Api = make({
  databaseUrl: Effect.map(DatabaseProxy, ({ url }) => url),
  settings: { DATABASE_QUERY_TIMEOUT_SECONDS: "60", DATABASE_POOL_MAX: String(connections) }
}).pipe(Layer.provideMerge(DatabaseProxy.layer), Layer.provideMerge(PgTest.layer))

/** A deadline of a second and a busy machine, and nowhere near what a statement may take. */
const inTime = "10 seconds"

const expectNotReady = Effect.gen(function*() {
  const { nobody } = yield* ApiTest
  const probes = Effect.replicateEffect(nobody.get("/readyz"), 8, { concurrency: 8 })
  const [took, answers] = yield* Effect.timed(probes)
  assert.isTrue(Duration.lessThan(took, inTime), Duration.format(took))
  for (const answer of answers) {
    const { headers, json } = expectProblem(answer, 503, "database_unreachable")
    assert.include(json.detail, "database")
    assert.match(headers["retry-after"] ?? "", /^[1-9]\d*$/)
  }
  assert.deepStrictEqual(yield* Rows.read(nobody, "/healthz"), { status: "ok" })
})

const ready = Effect.flatMap(ApiTest, ({ nobody }) => eventually(nobody.get("/readyz"), ({ status }) => status === 200))

/** Statements that wait for a lock. */
const waiting = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    ({ length }) => length
  ))

/** Connections that are not the service's. */
const ourOwn = Layer.unwrapEffect(
  Effect.map(DatabaseProxy, ({ url }) => PgClient.layer({ url: Redacted.make(url) }))
)

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Readiness", (it) => {
  it.effect("H67 is denied within its own deadline while the database is silent, and the process lives", () =>
    Effect.gen(function*() {
      const proxy = yield* DatabaseProxy
      yield* ready
      yield* proxy.silence
      yield* expectNotReady
      yield* proxy.mend
      yield* ready
    }))

  it.effect("H69 is denied while every connection is taken, and requests are told to come back", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const sql = yield* SqlClient.SqlClient
      const [locked, leave] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      yield* ready
      const locking = yield* Effect.fork(sql.withTransaction(
        sql`LOCK TABLE webhooks IN ACCESS EXCLUSIVE MODE`.pipe(
          Effect.zipRight(Deferred.succeed(locked, undefined)),
          Effect.zipRight(Deferred.await(leave))
        )
      ))
      yield* Deferred.await(locked)
      const taking = yield* Effect.fork(
        Effect.replicateEffect(a.viewer.get("/api/webhooks"), connections, { concurrency: connections })
      )
      yield* eventually(waiting, (count) => count >= connections)
      yield* expectNotReady
      const { headers } = expectProblem(yield* a.viewer.get("/api/event-types"), 503, "retry_same_key")
      assert.match(headers["retry-after"] ?? "", /^[1-9]\d*$/)
      yield* Deferred.succeed(leave, undefined)
      yield* Fiber.join(locking)
      for (const answer of yield* Fiber.join(taking)) assert.include([200, 503], answer.status)
      yield* ready
      expectStatus(yield* a.viewer.get("/api/webhooks"), 200)
    }).pipe(Effect.provide(ourOwn)))
})
