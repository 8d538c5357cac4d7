import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { describe, fill, type Ids } from "../support/ApiOperations.ts"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api } from "../support/ApiTest.ts"

const ids: Ids = {
  alert: "alr_01jmh2v3s8e5xt6dq4t9v0r1kz",
  api_key: "key_01jmh2v3s8e5xt6dq4t9v0r1kz",
  client: "tenant-a",
  delivery: "dlv_01jmh2v3s8e5xt6dq4t9v0r1kz",
  event: "evt_01jmh2v3s8e5xt6dq4t9v0r1kz",
  event_type: "deal.won",
  webhook: "whk_01jmh2v3s8e5xt6dq4t9v0r1kz"
}

const methods = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]

/** The methods of every path, as the document has them, and those that HTTP adds. */
const known = Effect.gen(function*() {
  const { nobody } = yield* ApiTest
  const paths = new Map([["/docs", ["GET"]], ["/openapi.json", ["GET"]]])
  for (const { method, path } of describe(yield* Rows.read(nobody, "/openapi.json"))) {
    paths.set(path, [...(paths.get(path) ?? []), method])
  }
  return Array.from(paths, ([path, own]) => ({
    path: fill(path, ids),
    // The same path is an id's, too.
    own: path === "/api/events/batch" ? [...own, "GET"] : own
  })).map(({ own, path }) => ({
    path,
    all: [...own, ...(own.includes("GET") ? ["HEAD"] : []), "OPTIONS"].toSorted()
  }))
})

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Methods", (it) => {
  it.effect("a method that a path does not know is a 405 that names those it knows, with a key or without", () =>
    Effect.gen(function*() {
      const { a, nobody } = yield* ApiTest
      for (const { all, path } of yield* known) {
        for (const method of methods.filter((method) => !all.includes(method))) {
          for (const sender of [a.client, nobody]) {
            const answer = yield* sender.send({ method, path })
            assert.strictEqual(answer.status, 405, `${method} ${path}`)
            assert.strictEqual(answer.headers["allow"], all.join(", "), `${method} ${path}`)
            if (method !== "HEAD") assert.include(expectProblem(answer, 405, "method_not_allowed").json.detail, method)
          }
        }
      }
    }))

  it.effect("OPTIONS answers which methods a path knows, and promises other sites nothing", () =>
    Effect.gen(function*() {
      const { nobody } = yield* ApiTest
      for (const { all, path } of yield* known) {
        const headers = { origin: "https://example.com", "access-control-request-method": "POST" }
        for (const target of [path, `${path}?x=1`, `${path}/`]) {
          const answer = expectStatus(yield* nobody.send({ method: "OPTIONS", path: target, headers }), 204)
          assert.strictEqual(answer.headers["allow"], all.join(", "), target)
          assert.isEmpty(Object.keys(answer.headers).filter((name) => name.startsWith("access-control-")))
        }
      }
      expectProblem(yield* nobody.send({ method: "OPTIONS", path: "/api/nothing" }), 404, "route_not_found")
    }))

  it.effect("HEAD answers what GET would, without the body", () =>
    Effect.gen(function*() {
      const { a, nobody } = yield* ApiTest
      for (const path of ["/healthz", "/docs", "/openapi.json", "/api/webhooks"]) {
        const [get, head] = yield* Effect.all([a.viewer.get(path), a.viewer.send({ method: "HEAD", path })])
        assert.strictEqual(head.status, get.status, path)
        assert.strictEqual(head.text, "")
        assert.strictEqual(head.headers["content-type"], get.headers["content-type"])
        assert.strictEqual(head.headers["content-length"], get.headers["content-length"])
      }
      assert.strictEqual((yield* nobody.send({ method: "HEAD", path: "/api/webhooks" })).status, 401)
    }))
})
