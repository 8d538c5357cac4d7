import { assert, describe, it, layer } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Listener from "../../src/api/Listener.ts"
import { describe as operationsOf, fill, type Ids, operations } from "../support/ApiOperations.ts"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, layer as Api, securityHeaders } from "../support/ApiTest.ts"
import { soon } from "../support/Eventually.ts"
import * as RawHttp from "../support/RawHttp.ts"

const ids: Ids = {
  alert: "alr_01jmh2v3s8e5xt6dq4t9v0r1kz",
  api_key: "key_01jmh2v3s8e5xt6dq4t9v0r1kz",
  client: "tenant-a",
  delivery: "dlv_01jmh2v3s8e5xt6dq4t9v0r1kz",
  event: "evt_01jmh2v3s8e5xt6dq4t9v0r1kz",
  event_type: "deal.won",
  webhook: "whk_01jmh2v3s8e5xt6dq4t9v0r1kz"
}

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Headers", (it) => {
  it.effect("every operation carries them, whoever asks and whatever comes of it", () =>
    Effect.gen(function*() {
      const { a, nobody, operator } = yield* ApiTest
      const routes = operationsOf(yield* Rows.read(nobody, "/openapi.json"))
      const statuses = new Set<number>()
      for (const { method, name, path } of routes) {
        const body = operations[name]?.body
        for (const sender of [nobody, a.viewer, operator]) {
          for (const text of body === undefined ? [undefined] : ["{", "{}", JSON.stringify(body)]) {
            const call = { method, path: fill(path, ids), ...(text !== undefined && { body: text }) }
            const { headers, status } = yield* sender.send(call)
            assert.deepInclude(headers, securityHeaders, name)
            statuses.add(status)
          }
        }
      }
      // That each of the kinds of answers was among them.
      assert.includeMembers(Array.from(statuses), [200, 201, 202, 204, 400, 401, 403, 404, 422])
    }))

  it.effect("what is no operation carries them too", () =>
    Effect.gen(function*() {
      const { nobody } = yield* ApiTest
      for (
        const path of ["/", "/nothing", "/docs", "/docs/x", "/openapi.json", "/metrics", "/%E0%A4%A", "/../etc", "/?a"]
      ) {
        for (const method of ["GET", "HEAD", "POST", "OPTIONS", "TRACE"]) {
          assert.deepInclude((yield* nobody.send({ method, path })).headers, securityHeaders, `${method} ${path}`)
        }
      }
    }))

  for (const upgrade of ["websocket", "h2c", "nothing/1"]) {
    it.scoped(`a request that offers another protocol is as good as all others: ${upgrade}`, () =>
      Effect.gen(function*() {
        const { newTenant, port } = yield* ApiTest
        const { publisher } = yield* newTenant
        const client = yield* RawHttp.connect(port)
        const offer = { connection: "upgrade", upgrade }
        const body = JSON.stringify({ event_type: "deal.won", payload: { id: 1 } })
        const sent = { ...offer, "content-type": "application/json", "content-length": String(body.length) }
        yield* client.write(RawHttp.head("POST /api/events", publisher.token, sent) + body)
        assert.strictEqual((yield* soon(client.answer)).status, 202)
        // The connection goes on.
        yield* client.write(RawHttp.head("GET /healthz", null, offer))
        const { headers, json, status } = yield* soon(client.answer)
        assert.deepStrictEqual([status, json], [200, { status: "ok" }])
        assert.deepInclude(headers, securityHeaders)
      }))
  }
})

describe("a process without its API", () => {
  it.scopedLive("H69 lives, is not ready, and refuses with a problem that carries the headers", () =>
    Effect.gen(function*() {
      const second = Duration.seconds(1)
      const { server } = yield* Effect.acquireRelease(
        Listener.make({ requestTimeout: second, silence: second }),
        ({ drain }) => drain
      )
      yield* Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void)))
      const address = server.address()
      const ask = (path: string) =>
        Effect.gen(function*() {
          const client = yield* RawHttp.connect(typeof address === "object" && address !== null ? address.port : 0)
          yield* client.write(RawHttp.head(`GET ${path}`, null))
          const answer = yield* soon(client.answer)
          assert.deepInclude(answer.headers, { ...securityHeaders, connection: "close" })
          assert.isNull(yield* soon(client.ended))
          return answer
        })
      for (const path of ["/api/webhooks", "/readyz"]) {
        const { headers, json, status } = yield* ask(path)
        assert.deepStrictEqual([status, json.code, headers["retry-after"]], [503, "stopping", "1"])
      }
      const { json, status } = yield* ask("/healthz")
      assert.deepStrictEqual([status, json], [200, { status: "ok" }])
    }))
})
