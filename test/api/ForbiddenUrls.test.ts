import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as net from "node:net"
import * as tls from "node:tls"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem } from "../support/ApiTest.ts"
import { forbiddenTargets } from "../support/ForbiddenTargets.ts"
import * as Planted from "../support/Planted.ts"
import * as WatchedService from "../support/WatchedService.ts"

const targets = Effect.all([WatchedService.Watch, ApiTest]).pipe(
  Effect.map(([{ port }, { port: own }]) => forbiddenTargets({ port, own }))
)

const urls = Effect.map(targets, (all) => all.map(({ url }) => url))

/** What an owner may change: when it is checked next is the service's. */
const webhookRows = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`SELECT id, name, url, updated_at FROM webhooks ORDER BY id`
)

const blocked = { status: "failed_permanent", error_class: "blocked_address", next_retry_at: null }
const refusedAttempt = { result: "failure_permanent", error_class: "blocked_address", peer_address: null }

/** That each delivery ended at once, of an address that was not dialled. */
const assertBlocked = (deliveries: ReadonlyArray<ReturnType<typeof JSON.parse>>, attempts: number) => {
  for (const delivery of deliveries) {
    assert.deepInclude(delivery, { ...blocked, attempt_count: attempts })
    for (const attempt of delivery.attempts) assert.deepInclude(attempt, refusedAttempt)
  }
}

const options = { timeout: "60 seconds", excludeTestServices: true } as const

/** The whole corpus as rows of one tenant. */
const planted = Effect.runSync(Effect.cached(Effect.flatMap(urls, Planted.plant)))

layer(WatchedService.layer(), options)("forbidden URLs, as in production", (it) => {
  it.effect("A1–A9 no registration accepts one: 422, a stable code, no row, no packet", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const { dns } = yield* WatchedService.Watch
      const before = yield* webhookRows
      yield* Planted.each(yield* targets, ({ code, url }) =>
        Effect.map(a.client.post("/api/webhooks", { url, events: ["*"] }), (answer) => {
          const { json } = expectProblem(answer, 422, code)
          assert.strictEqual(json.errors[0].path, "url", url)
        }))
      assert.deepStrictEqual(yield* webhookRows, before)
      assert.isEmpty(dns.asked)
      yield* WatchedService.nothingDialled
    }), 120_000)

  it.effect("A1–A9 no update accepts one, and the row stays as it was", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const { dns } = yield* WatchedService.Watch
      const { id } = yield* Rows.register(a.client, { url: "https://example.com/hook" })
      const before = yield* webhookRows
      yield* Planted.each(yield* targets, ({ code, url }) =>
        Effect.map(
          a.client.patch(`/api/webhooks/${id}`, { name: "changed", url }),
          (answer) => expectProblem(answer, 422, code)
        ))
      assert.deepStrictEqual(yield* webhookRows, before)
      assert.isEmpty(dns.asked)
      yield* WatchedService.nothingDialled
    }), 120_000)

  it.effect("B16 a row that holds one reaches nobody, published or sent again by hand", () =>
    Effect.gen(function*() {
      const webhooks = yield* planted
      const deliveries = yield* Planted.publish(webhooks)
      assert.lengthOf(deliveries, webhooks.ids.length)
      yield* Planted.retry(webhooks, deliveries)
      assertBlocked(yield* Planted.read(webhooks, deliveries), 2)
      yield* WatchedService.nothingDialled
    }), 120_000)

  it.effect("B16 a row that holds one reaches nobody, tested or pinged", () =>
    Effect.gen(function*() {
      const webhooks = yield* planted
      for (const attempt of yield* Planted.ping(webhooks)) assert.deepInclude(attempt, refusedAttempt)
      const deliveries = yield* Planted.test(webhooks)
      assert.lengthOf(deliveries, webhooks.ids.length)
      assertBlocked(yield* Planted.read(webhooks, deliveries), 1)
      assert.isEmpty((yield* WatchedService.Watch).dns.asked)
      yield* WatchedService.nothingDialled
    }), 120_000)

  // The last one: from here on somebody was reached.
  it.scoped("the watch sees whoever does reach one of these addresses, in the clear or over TLS", () =>
    Effect.gen(function*() {
      const { dialled, port, reached } = yield* WatchedService.Watch
      const dial = (open: () => net.Socket) =>
        Effect.acquireRelease(Effect.sync(open), (socket) => Effect.sync(() => socket.destroy())).pipe(
          Effect.tap((socket) =>
            Effect.async<void>((resume) => {
              socket.resume().on("error", () => {})
              socket.once("close", () => resume(Effect.void)).once("connect", () => socket.end("x"))
            })
          )
        )
      yield* Effect.forEach(WatchedService.ownAddresses, (host) => dial(() => net.connect({ host, port })))
      yield* dial(() => tls.connect({ host: "127.0.0.3", port }))
      const all = [...WatchedService.ownAddresses, "127.0.0.3"]
      assert.sameMembers([...reached()], all)
      assert.sameMembers([...dialled()], all.map((address) => `${address} ${port}`))
    }))
})

const exception = "127.0.0.77"

layer(WatchedService.layer({ allowed: `${exception}/32` }), options)("forbidden URLs but for one exception", (it) => {
  it.effect(
    "B16 the exception is reached in each of its spellings by every way, and nothing else is",
    () =>
      Effect.gen(function*() {
        const { dialled, port, reached } = yield* WatchedService.Watch
        const spellings = [`http://${exception}:${port}/`, `http://127.77:${port}/`, `http://[::ffff:7f00:4d]:${port}/`]
        const open = yield* Planted.plant([...spellings, `https://${exception}:${port}/`])
        const closed = yield* Planted.plant(yield* urls)
        const deliveries = yield* Planted.publish(open)
        assert.deepStrictEqual(
          (yield* Planted.read(open, deliveries)).map(({ error_class, status }) => error_class ?? status),
          ["delivered", "delivered", "delivered", "tls_handshake"]
        )
        yield* Planted.retry(open, deliveries)
        yield* Planted.test(open)
        yield* Planted.ping(open)
        assertBlocked(yield* Planted.read(closed, yield* Planted.publish(closed)), 1)
        assert.isAtLeast(reached().length, 16)
        assert.deepStrictEqual([...new Set(reached())], [exception])
        assert.sameMembers([...new Set(dialled())], [`${exception} ${port}`, `::ffff:7f00:4d ${port}`])
      }),
    60_000
  )
})
