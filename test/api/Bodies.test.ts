import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { gzipSync } from "node:zlib"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, inChunks, layer as Api } from "../support/ApiTest.ts"

const event = JSON.stringify({ event_type: "media.type", payload: { text: "é" } })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Bodies", (it) => {
  it.effect("L85 JSON in UTF-8 is taken however that is spelled, and when it is not said at all", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const types = [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON ; Charset=\"utf-8\"",
        "application/json; charset=utf8; profile=x"
      ]
      const publish = (headers: Readonly<Record<string, string>>) =>
        a.client.send({ method: "POST", path: "/api/events", headers, body: event })
      for (const type of types) expectStatus(yield* publish({ "content-type": type }), 202)
      expectStatus(yield* publish({}), 202)
      expectStatus(yield* publish({ "content-encoding": "identity" }), 202)
    }))

  it.effect("L85 another type, another charset or any compression is a 415 that says which", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const refused: ReadonlyArray<readonly [Readonly<Record<string, string>>, string]> = [
        [{ "content-type": "application/json; charset=iso-8859-1" }, "not iso-8859-1"],
        [{ "content-type": "application/json; charset=utf-16" }, "not utf-16"],
        [{ "content-type": "application/json; charset=us-ascii" }, "not us-ascii"],
        [{ "content-type": "application/cloudevents+json" }, "not application/cloudevents+json"],
        [{ "content-type": "application/jsonl" }, "not application/jsonl"],
        [{ "content-type": "text/json" }, "not text/json"],
        [{ "content-type": "" }, "not "],
        [{ "content-encoding": "GZIP" }, "is gzip"],
        [{ "content-encoding": "identity, br" }, "is identity, br"]
      ]
      for (const [headers, reason] of refused) {
        const answer = yield* a.client.send({ method: "POST", path: "/api/events", headers, body: event })
        assert.include(expectProblem(answer, 415, "unsupported_media_type").json.detail, reason)
      }
    }))

  // Opened it would have been too large, and no 415.
  it.effect("L85 a compressed bomb is refused unopened, its length announced or not", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const bomb = gzipSync(Buffer.alloc(200_000_000, " "))
      const call = { method: "POST", path: "/api/events", headers: { "content-encoding": "gzip" } }
      expectProblem(yield* a.client.send({ ...call, body: bomb }), 415, "unsupported_media_type")
      expectProblem(yield* a.client.send({ ...call, body: inChunks(bomb) }), 415, "unsupported_media_type")
    }))

  it.scoped("an operation that takes no body refuses one, within the bounds of every body", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const receiver = yield* Rows.receiver()
      const webhook = yield* Rows.register(client, { url: receiver.url() })
      const { id } = yield* Rows.deliver(client, "deal.won")
      const operations: ReadonlyArray<readonly [string, number]> = [
        [`/api/webhooks/${webhook.id}/ping`, 200],
        [`/api/deliveries/${id}/retry?wait_ms=30000`, 200]
      ]
      for (const [path, status] of operations) {
        const heard = receiver.received.length
        const send = (body: string | Buffer, headers = {}) => client.send({ method: "POST", path, headers, body })
        for (const body of ["{\"wait_ms\": 5}", "[]", "null", "\"\""]) {
          expectProblem(yield* send(body), 422, "body_not_allowed")
        }
        expectProblem(yield* send("{"), 400, "json_syntax")
        expectProblem(yield* send("x", { "content-type": "text/plain" }), 415, "unsupported_media_type")
        expectProblem(yield* send(Buffer.alloc(1_048_577, " ")), 413, "body_too_large")
        assert.lengthOf(receiver.received, heard, "nothing was sent")
        expectStatus(yield* send(" {} "), status)
        expectStatus(yield* client.send({ method: "POST", path, headers: { "content-type": "text/plain" } }), status)
        assert.lengthOf(receiver.received, heard + 2)
      }
    }))

  it.effect("nobody without a key has a body looked at", () =>
    Effect.gen(function*() {
      const { nobody } = yield* ApiTest
      for (const path of ["/api/webhooks/whk_x/ping", "/api/deliveries/dlv_x/retry"]) {
        for (const body of ["{", "{\"a\": 1}", Buffer.alloc(1_048_577, " ")]) {
          expectProblem(yield* nobody.send({ method: "POST", path, body }), 401, "unauthorized")
        }
      }
    }))

  it.effect("a body that a method gives no meaning to is dropped, and nothing comes of it", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const large = Buffer.alloc(2_000_000, " ")
      for (const body of ["{", large, inChunks(large)]) {
        expectStatus(yield* a.viewer.send({ method: "GET", path: "/api/event-types", body }), 200)
      }
      const { id } = yield* Rows.register(a.client)
      expectStatus(yield* a.client.send({ method: "DELETE", path: `/api/webhooks/${id}`, body: large }), 204)
    }))
})
