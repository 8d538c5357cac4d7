/** G61: SIGTERM and SIGINT end the service in order: intake first, then what is under way, then what was never sent. */
import { SqlClient } from "@effect/sql"
import { assert, describe, it, layer, vi } from "@effect/vitest"
import { Effect, Fiber, Option, Queue, Schema } from "effect"
import { readFileSync } from "node:fs"
import * as net from "node:net"
import { join } from "node:path"
import type { ApiClient } from "../support/ApiClient.ts"
import * as EmbeddedService from "../support/EmbeddedService.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Service from "../support/Service.ts"

vi.setConfig({ testTimeout: 180_000 })

const concurrency = 2
const published = 8
const settings = {
  WEBHOOKS_DISPATCHER_CONCURRENCY_PER_WEBHOOK: String(concurrency)
}

/** Takes requests and keeps their answers back until it is told to give them. */
const makeHolding = Effect.gen(function*() {
  const sockets: Array<net.Socket> = []
  const server = yield* ScriptedReceiver.make((_, socket) => {
    sockets.push(socket)
  })
  const answerAll = Effect.zipRight(
    server.answer({ status: 200 }),
    // Past the HTTP server, which would leave a next request on this connection without an answer: so there is none.
    Effect.sync(() =>
      sockets.forEach((socket) => socket.end("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
    )
  )
  return { answerAll, server }
})

const deliveryIds = (received: ScriptedReceiver.ScriptedReceiver["received"]) =>
  received.map(({ headers }) => headers["x-delivery-id"] ?? "")

/** More deliveries than may be under way at once. */
const publishAll = (api: ApiClient, url: URL) =>
  Effect.gen(function*() {
    yield* api.register({ url: url.href, events: ["deal.*"], timeout_ms: 20_000 })
    const all = yield* Effect.replicateEffect(api.publish("deal.won", {}), published)
    return all.flatMap(({ deliveries }) => deliveries.map(({ id }) => id))
  })

const connects = (base: string) =>
  Effect.async<boolean>((resume) => {
    const { hostname, port } = new URL(base)
    const socket = net.connect(Number(port), hostname)
    socket.once("connect", () => resume(Effect.succeed(true))).once("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

const Counts = Schema.Tuple(Schema.Struct({
  delivered: Schema.Int,
  leased: Schema.Int,
  untouched: Schema.Int,
  attempts: Schema.Int
}))

const counts = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  sql`
    SELECT count(*) FILTER (WHERE status = 'delivered' AND attempt_count = 1)::int AS delivered,
      count(lease_token)::int AS leased,
      count(*) FILTER (WHERE status = 'pending' AND attempt_count = 0 AND lease_token IS NULL)::int AS untouched,
      (SELECT count(*)::int FROM attempts) AS attempts
    FROM deliveries
  `.pipe(
    Effect.flatMap(Schema.decodeUnknown(Counts)),
    Effect.map(([row]) => row)
  ))

layer(PgTest.layer, { timeout: "180 seconds", excludeTestServices: true })("the end of the service", (it) => {
  it.scoped("takes nothing more in, finishes what is under way, gives back what was never sent", () =>
    Effect.gen(function*() {
      const receiver = yield* makeHolding
      const env = { ...settings, DATABASE_URL: yield* PgTest.url }
      const dataDirectory = yield* EmbeddedService.directory()
      const service = yield* Service.serve({ dataDirectory, env })
      const ids = yield* publishAll(service.api, receiver.server.url())
      yield* soon(Queue.takeN(receiver.server.requests, concurrency))
      assert.strictEqual((yield* counts).leased, concurrency, "no lease runs for what does not")

      yield* service.signal("SIGTERM")
      yield* eventually(connects(service.base), (connected) => !connected)
      assert.include(yield* service.heard, "is ready", "and it still runs: the receiver has not answered yet")
      yield* receiver.answerAll
      assert.strictEqual((yield* soon(service.exit)).code, 0)
      const left = yield* counts
      // A worker may have begun one more before it was stopped.
      assert.isAtLeast(left.delivered, concurrency)
      assert.deepStrictEqual(left, {
        delivered: left.delivered,
        leased: 0,
        untouched: published - left.delivered,
        attempts: left.delivered
      })

      const next = yield* Service.serve({ dataDirectory, env })
      yield* eventually(counts, ({ delivered }) => delivered === published)
      assert.deepStrictEqual(deliveryIds(receiver.server.received).toSorted(), ids.toSorted(), "each exactly once")
      assert.strictEqual((yield* next.kill("SIGINT")).code, 0)
    }))
})

layer(PgTest.layer, { timeout: "180 seconds", excludeTestServices: true })(
  "the end of the service in a hurry",
  (it) => {
    it.scoped("G61 a second signal breaks off the attempts under way, which are made again and charged to nobody", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const receiver = yield* makeHolding
        const env = { ...settings, DATABASE_URL: yield* PgTest.url }
        const dataDirectory = yield* EmbeddedService.directory()
        const service = yield* Service.serve({ dataDirectory, env })
        const ids = yield* publishAll(service.api, receiver.server.url())
        yield* soon(Queue.takeN(receiver.server.requests, concurrency))
        yield* service.signal("SIGTERM")
        yield* eventually(connects(service.base), (connected) => !connected)
        yield* service.signal("SIGTERM")
        assert.strictEqual((yield* soon(service.exit)).code, 0)
        const broken = yield* sql`
        SELECT DISTINCT a.error_class, d.charged_count, d.lease_token
        FROM attempts a JOIN deliveries d ON d.id = a.delivery_id`
        assert.deepStrictEqual(broken, [{ errorClass: "interrupted", chargedCount: 0, leaseToken: null }])

        yield* receiver.answerAll
        yield* Service.serve({ dataDirectory, env })
        yield* eventually(counts, ({ untouched }) => untouched === 0)
        yield* eventually(
          sql`SELECT count(*)::int AS n FROM deliveries WHERE status = 'delivered'`,
          ([row]) => row?.["n"] === ids.length
        )
      }))
  }
)

layer(PgTest.layer, { timeout: "180 seconds", excludeTestServices: true })(
  "the end of the service, with callers",
  (it) => {
    it.scoped("is not kept waiting by connections on which nothing, or half a request, has come", () =>
      Effect.gen(function*() {
        const dataDirectory = yield* EmbeddedService.directory()
        const service = yield* Service.serve({ dataDirectory, env: { DATABASE_URL: yield* PgTest.url } })
        const { hostname, port } = new URL(service.base)
        const key = readFileSync(join(dataDirectory, "operator.key"), "utf8").trim()
        const headers = `Host: ${hostname}\r\nAuthorization: Bearer ${key}\r\nContent-Length: 10\r\n\r\n`
        for (const text of ["", "GET /", `POST /api/events HTTP/1.1\r\n${headers}{`]) {
          yield* Effect.acquireRelease(
            Effect.async<net.Socket>((resume) => {
              const socket = net.connect(Number(port), hostname, () => {
                socket.write(text, () => resume(Effect.succeed(socket)))
              })
              socket.on("error", () => {})
            }),
            (socket) => Effect.sync(() => socket.destroy())
          )
        }
        assert.strictEqual((yield* soon(service.kill("SIGTERM"))).code, 0)
      }))
  }
)

layer(PgTest.layer, { timeout: "180 seconds", excludeTestServices: true })(
  "the end of the service, with publishers",
  (it) => {
    it.scoped("answers or refuses whoever goes on publishing, and keeps what it promised", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const dataDirectory = yield* EmbeddedService.directory()
        const env = { DATABASE_URL: yield* PgTest.url, LOG_LEVEL: "Error" }
        const service = yield* Service.serve({ dataDirectory, env })
        const promised: Array<string> = []
        const publishing = yield* Effect.forkScoped(Effect.replicateEffect(
          service.api.publish("deal.lost", {}).pipe(
            Effect.tap(({ event_id }) => Effect.sync(() => promised.push(event_id))),
            Effect.forever,
            Effect.exit
          ),
          4,
          { concurrency: "unbounded" }
        ))
        yield* eventually(Effect.sync(() => promised.length), (count) => count > 50)
        assert.strictEqual((yield* soon(service.kill("SIGTERM"))).code, 0)
        yield* soon(Fiber.join(publishing))
        const kept = yield* sql`SELECT FROM events WHERE event_type = 'deal.lost'`
        assert.isAtLeast(kept.length, promised.length)
      }))
  }
)

describe("the end of a service with a Postgres of its own", () => {
  it.scopedLive("stops Postgres last, and the next start sends the rest", () =>
    Effect.gen(function*() {
      const receiver = yield* makeHolding
      const dataDirectory = yield* EmbeddedService.directory()
      const service = yield* Service.serve({ dataDirectory, env: settings })
      const ids = yield* publishAll(service.api, receiver.server.url())
      yield* soon(Queue.takeN(receiver.server.requests, concurrency))
      yield* service.signal("SIGINT")
      yield* eventually(connects(service.base), (connected) => !connected)
      assert.isTrue(Option.isSome(EmbeddedService.postmasterOf(dataDirectory)), "the outcomes still have to be written")
      yield* receiver.answerAll
      assert.strictEqual((yield* soon(service.exit)).code, 0)
      assert.isTrue(Option.isNone(EmbeddedService.postmasterOf(dataDirectory)))

      const next = yield* Service.serve({ dataDirectory, env: settings })
      for (const id of ids) {
        const row = yield* eventually(next.api.delivery(id), ({ status }) => status === "delivered")
        assert.deepStrictEqual(row.attempts.map(({ error_class, result }) => ({ error_class, result })), [
          { error_class: null, result: "success" }
        ])
      }
      assert.deepStrictEqual(deliveryIds(receiver.server.received).toSorted(), ids.toSorted(), "each exactly once")
      assert.strictEqual((yield* next.kill("SIGTERM")).code, 0)
      assert.isTrue(Option.isNone(EmbeddedService.postmasterOf(dataDirectory)))
    }))
})
