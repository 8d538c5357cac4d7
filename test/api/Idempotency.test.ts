import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api, type Sender } from "../support/ApiTest.ts"

const publish = (sender: Sender, key: string, payload: object = {}, fields: object = {}) =>
  sender.post("/api/events", { event_type: "deal.won", payload, ...fields }, { "idempotency-key": key })

const batch = (sender: Sender, key: string, events: ReadonlyArray<object>) =>
  sender.post("/api/events/batch", { events }, { "idempotency-key": key })

const count = (sender: Sender) =>
  Effect.map(Rows.read(sender, "/api/events?limit=200"), ({ data }): number => data.length)

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Idempotency", (it) => {
  it.effect("K82 the same key and body a hundred times at once: one event, a hundred equal answers", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      yield* Rows.register(client)
      yield* Rows.register(client)
      const send = publish(client, "k-1", { n: 1 })
      const answers = yield* Effect.replicateEffect(send, 100, { concurrency: "unbounded" })
      const [first] = answers
      assert(first)
      assert.lengthOf(expectStatus(first, 202).json.deliveries, 2)
      for (const { status, text } of answers) {
        assert.deepStrictEqual({ status, text }, { status: 202, text: first.text })
      }
      assert.strictEqual(yield* count(client), 1)
      assert.strictEqual((yield* send).text, first.text, "and so it is later")
    }))

  it.effect("K82 the same key with another body is a conflict, and nothing is published", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const events = [{ event_type: "deal.won", payload: { n: 1 } }]
      expectStatus(yield* publish(client, "k-1", { n: 1 }), 202)
      const others = yield* Effect.all([
        publish(client, "k-1", { n: 2 }),
        publish(client, "k-1", { n: 1.5 }),
        publish(client, "k-1", {}),
        publish(client, "k-1", { n: 1 }, { occurred_at: "2025-01-01T00:00:00Z" }),
        publish(client, "k-1", { n: 1 }, { event_type: "deal.lost" }),
        batch(client, "k-1", events)
      ])
      for (const answer of others) {
        assert.include(expectProblem(answer, 409, "idempotency_key_reused").json.detail, "k-1")
      }
      assert.strictEqual(yield* count(client), 1)
    }))

  it.effect("K82 of two bodies under one key at once, one is published", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const answers = yield* Effect.forEach(
        Array.from({ length: 40 }, (_, i) => i % 2),
        (n) => Effect.map(publish(client, "k-1", { n }), (answer) => ({ n, ...answer })),
        { concurrency: "unbounded" }
      )
      const accepted = answers.filter(({ status }) => status === 202)
      assert.lengthOf(accepted, 20)
      assert.strictEqual(new Set(accepted.map(({ n, text }) => `${n} ${text}`)).size, 1)
      for (const answer of answers.filter(({ status }) => status !== 202)) {
        expectProblem(answer, 409, "idempotency_key_reused")
      }
      assert.strictEqual(yield* count(client), 1)
    }))

  it.effect("the same body is the same event, however it is spelled", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const send = (body: string) => client.post("/api/events", body, { "idempotency-key": "k-1" })
      const first = yield* send(`{"event_type": "deal.won", "payload": {"a": 1, "b": "é"}}`)
      const again = yield* send(` {"payload":{"b":"\\u00e9","a":1},\n"event_type":"deal.won"}`)
      assert.strictEqual(again.text, expectStatus(first, 202).text)
      expectProblem(
        yield* send(`{"event_type": "deal.won", "payload": {"a": 1.0, "b": "é"}}`),
        409,
        "idempotency_key_reused"
      )
    }))

  it.effect("a sensitive value counts when bodies are compared, though it is not kept", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const first = yield* publish(client, "k-1", { password: "one" })
      assert.strictEqual((yield* publish(client, "k-1", { password: "one" })).text, expectStatus(first, 202).text)
      expectProblem(yield* publish(client, "k-1", { password: "two" }), 409, "idempotency_key_reused")
    }))

  it.effect("a batch has one key for all of it", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      yield* Rows.register(client)
      const events = [1, 2, 3].map((n) => ({ event_type: "deal.won", payload: { n } }))
      const answers = yield* Effect.replicateEffect(batch(client, "k-1", events), 20, { concurrency: "unbounded" })
      assert.strictEqual(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size, 1)
      assert.lengthOf(answers[0]?.json.data, 3)
      assert.strictEqual(yield* count(client), 3)
      expectProblem(yield* batch(client, "k-1", events.toReversed()), 409, "idempotency_key_reused")
      expectProblem(yield* batch(client, "k-1", events.slice(0, 1)), 409, "idempotency_key_reused")
    }))

  it.effect("a request that is refused leaves its key free", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const wrong = { event_type: "webhook.ping" }
      expectProblem(yield* publish(client, "k-1", {}, wrong), 422, "event_type_reserved")
      expectStatus(yield* publish(client, "k-1"), 202)
    }))

  it.effect("without a key, every request is an event", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      yield* Effect.replicateEffect(Rows.publish(client, "deal.won"), 3, { concurrency: 3 })
      assert.strictEqual(yield* count(client), 3)
    }))

  it.effect("a key is 1 to 255 printable ASCII characters without spaces", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      for (const key of ["", "a b", "\u00e9", "a\tb", "x".repeat(256)]) {
        const { json } = expectProblem(yield* publish(client, key), 422, "idempotency_key_invalid")
        assert.strictEqual(json.errors[0].path, "Idempotency-Key")
        expectProblem(yield* batch(client, key, [{ event_type: "a.b", payload: {} }]), 422, "idempotency_key_invalid")
      }
      assert.strictEqual(yield* count(client), 0)
      for (const key of ["x".repeat(255), "!~\"',;", "0"]) expectStatus(yield* publish(client, key), 202)
    }))
})
