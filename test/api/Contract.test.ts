import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { gzipSync } from "node:zlib"
import { describe, type Described, fill, type Ids, operations, probes } from "../support/ApiOperations.ts"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, inChunks, layer as Api, type Sender } from "../support/ApiTest.ts"

/** Ids that the route accepts: what is wrong with a request is found before its rows are looked for. */
const ids: Ids = {
  alert: "alr_01jmh2v3s8e5xt6dq4t9v0r1kz",
  api_key: "key_01jmh2v3s8e5xt6dq4t9v0r1kz",
  client: "tenant-a",
  delivery: "dlv_01jmh2v3s8e5xt6dq4t9v0r1kz",
  event: "evt_01jmh2v3s8e5xt6dq4t9v0r1kz",
  event_type: "deal.won",
  webhook: "whk_01jmh2v3s8e5xt6dq4t9v0r1kz"
}

const documented = Effect.gen(function*() {
  const { nobody } = yield* ApiTest
  return describe(yield* Rows.read(nobody, "/openapi.json"))
})

/** Asks every route that takes a body with the body that `make` makes of a good one. */
const eachBody = (
  check: (
    send: (body: string | Uint8Array, headers?: Readonly<Record<string, string>>) => ReturnType<Sender["send"]>,
    good: Readonly<Record<string, unknown>>,
    route: Described
  ) => Effect.Effect<void>
) =>
  Effect.gen(function*() {
    const { operator } = yield* ApiTest
    const routes = (yield* documented).filter(({ body }) => body !== undefined)
    assert.isAbove(routes.length, 5)
    for (const route of routes) {
      const send = (body: string | Uint8Array, headers: Readonly<Record<string, string>> = {}) =>
        operator.send({
          method: route.method,
          path: fill(route.path, ids),
          headers: { "content-type": "application/json", ...headers },
          body
        })
      yield* check(send, operations[route.name]?.body ?? {}, route)
    }
  })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Contract", (it) => {
  it.effect("the tests know every operation of the document, and no other", () =>
    Effect.gen(function*() {
      const routes = yield* documented
      assert.sameMembers(routes.map(({ name }) => name), [...Object.keys(operations), ...probes])
      assert.sameMembers(routes.filter(({ isSecured }) => !isSecured).map(({ name }) => name), [...probes])
      for (const { body, name } of routes) {
        assert.strictEqual(body !== undefined, operations[name]?.body !== undefined, name)
      }
    }))

  it.effect("L86 without a key that works every route answers one and the same 401", () =>
    Effect.gen(function*() {
      const { a, nobody, operator, withToken } = yield* ApiTest
      const token = a.client.token ?? ""
      const issue = (fields: object) => operator.post("/api/clients/tenant-a/keys", { role: "client", ...fields })
      const { json: revoked } = yield* issue({})
      yield* operator.del(`/api/clients/tenant-a/keys/${revoked.id}`)
      const { json: expired } = yield* issue({ expires_at: "2020-01-01T00:00:00Z" })
      const senders = [
        nobody,
        ...["", "nonsense", token.slice(0, -1), `${token}0`, token.toUpperCase(), revoked.token, expired.token].map(
          withToken
        ),
        withToken(token.replace(/_[0-9a-f]{64}$/, `_${"0".repeat(64)}`)),
        withToken(token.replace(/^dhw_.{26}/, "dhw_01jmh2v3s8e5xt6dq4t9v0r1kz"))
      ]
      const bodies = new Set<string>()
      for (const { isSecured, method, path } of yield* documented) {
        if (!isSecured) continue
        for (const sender of senders) {
          const answer = yield* sender.send({ method, path: fill(path, ids) })
          bodies.add(expectProblem(answer, 401, "unauthorized").text)
        }
        for (const authorization of [token, `Basic  ${token}`, `Secret ${token}`]) {
          const answer = yield* nobody.send({ method, path: fill(path, ids), headers: { authorization } })
          bodies.add(expectProblem(answer, 401, "unauthorized").text)
        }
      }
      assert.strictEqual(bodies.size, 1)
    }))

  it.effect("an unknown query parameter is refused by name, and a repeated one too", () =>
    Effect.gen(function*() {
      const { operator } = yield* ApiTest
      for (const { isSecured, method, name, path, query } of yield* documented) {
        if (!isSecured) continue
        const ask = (search: string) => {
          const body = operations[name]?.body
          return operator.send({ method, path: fill(path, ids) + search, ...(body && { body: JSON.stringify(body) }) })
        }
        const unknown = expectProblem(yield* ask("?surplus=1"), 422, "unknown_field")
        assert.strictEqual(unknown.json.errors[0].path, "surplus", name)
        const prototype = expectProblem(yield* ask("?__proto__=1"), 422, "unknown_field")
        assert.strictEqual(prototype.json.errors[0].path, "__proto__", name)
        expectProblem(yield* ask("?%5f_proto%5f%5F"), 422, "unknown_field")
        for (const parameter of query) {
          const repeated = expectProblem(yield* ask(`?${parameter}=1&${parameter}=2`), 422, "invalid_value")
          assert.strictEqual(repeated.json.errors[0].path, parameter, name)
        }
      }
    }))

  it.effect("K80 an unknown field is refused by name, __proto__ and those that we set among them", () =>
    eachBody((send, good, { name }) =>
      Effect.gen(function*() {
        for (const field of ["surplus", "__proto__", "created_at", "attempt_count", "webhook_id"]) {
          const members = JSON.stringify(good).slice(1, -1)
          const { json } = expectProblem(
            yield* send(`{"${field}": 1${members === "" ? "" : `, ${members}`}}`),
            422,
            "unknown_field"
          )
          assert.deepStrictEqual(json.errors.map(({ path }: { path: string }) => path), [field], name)
        }
      })
    ))

  it.effect("a value of the wrong type is refused by the name of its field", () =>
    eachBody((send, good, { body, name }) =>
      Effect.gen(function*() {
        for (const wrong of ["null", "[]", "1", "\"text\"", "true"]) {
          expectProblem(yield* send(wrong), 422, "invalid_value")
        }
        const fields = Object.keys(body?.properties ?? {})
        assert.isNotEmpty(fields, name)
        for (const field of fields) {
          const { json } = expectProblem(yield* send(JSON.stringify({ ...good, [field]: [[]] })), 422, "invalid_value")
          const paths: ReadonlyArray<string> = json.errors.map(({ path }: { path: string }) => path)
          assert.isTrue(paths.every((path) => path === field || path.startsWith(`${field}.`)), `${name} ${paths}`)
        }
      })
    ))

  it.effect("a field that is missing is named", () =>
    eachBody((send, good, { body, name }) =>
      Effect.gen(function*() {
        for (const field of body?.required ?? []) {
          const { [field]: _, ...rest } = good
          const { json } = expectProblem(yield* send(JSON.stringify(rest)), 422, "missing_field")
          assert.deepStrictEqual(json.errors.map(({ path }: { path: string }) => path), [field], name)
        }
      })
    ))

  it.effect("L84 what is no acceptable JSON is a 400 with the reason", () =>
    eachBody((send) =>
      Effect.gen(function*() {
        const refused: ReadonlyArray<readonly [string | Uint8Array, string]> = [
          ["{", "json_syntax"],
          ["{'a': 1}", "json_syntax"],
          ["{} {}", "json_syntax"],
          ["{\"a\": NaN}", "json_syntax"],
          ["{\"a\": 1, \"a\": 2}", "json_duplicate_key"],
          [`${"[".repeat(10_000)}${"]".repeat(10_000)}`, "json_depth"],
          ["{\"a\": 1e400}", "json_number_range"],
          [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), "body_encoding"]
        ]
        for (const [body, code] of refused) expectProblem(yield* send(body), 400, code)
      })
    ))

  it.effect("L85 a body of another type, or a compressed one, is a 415", () =>
    eachBody((send, good) =>
      Effect.gen(function*() {
        const body = JSON.stringify(good)
        for (
          const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "a"]
        ) {
          expectProblem(yield* send(body, { "content-type": type }), 415, "unsupported_media_type")
        }
        for (const encoding of ["gzip", "br", "deflate", "zip"]) {
          const packed = gzipSync(Buffer.alloc(100_000))
          expectProblem(yield* send(packed, { "content-encoding": encoding }), 415, "unsupported_media_type")
        }
      })
    ))

  it.effect("L83 a body over the limit is a 413, whether its length is announced or not", () =>
    Effect.gen(function*() {
      const { operator } = yield* ApiTest
      const large = Buffer.alloc(1_048_577, " ")
      for (const { body, method, path } of yield* documented) {
        if (body === undefined) continue
        const call = { method, path: fill(path, ids), headers: { "content-type": "application/json" } }
        expectProblem(yield* operator.send({ ...call, body: large }), 413, "body_too_large")
        expectProblem(yield* operator.send({ ...call, body: inChunks(large) }), 413, "body_too_large")
      }
    }))

  it.effect("a body of exactly the limit is read, in chunks or not", () =>
    Effect.gen(function*() {
      const { operator } = yield* ApiTest
      const event = "{\"event_type\": \"limit.reached\", \"payload\": {}}"
      const body = Buffer.from(event.padEnd(1_048_576, " "))
      const call = { method: "POST", path: "/api/events", headers: { "content-type": "application/json" } }
      assert.strictEqual((yield* operator.send({ ...call, body })).status, 202)
      assert.strictEqual((yield* operator.send({ ...call, body: inChunks(body) })).status, 202)
    }))

  it.effect("an unknown route is a 404 of its own, with a key or without", () =>
    Effect.gen(function*() {
      const { a, nobody } = yield* ApiTest
      const unknown = [
        "GET /",
        "GET /api",
        "GET /api/nothing",
        "OPTIONS /api/nothing",
        "GET /api/webhooks/%E0%A4%A",
        `GET /api/webhooks/${"x".repeat(1_025)}`,
        "GET /api/webhooks/../webhooks"
      ]
      for (const route of unknown) {
        const [method = "", path = ""] = route.split(" ")
        for (const sender of [a.client, nobody]) {
          const { json } = expectProblem(yield* sender.send({ method, path }), 404, "route_not_found")
          assert.include(json.detail, route)
        }
      }
    }))
})
