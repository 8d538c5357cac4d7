import { assert, layer } from "@effect/vitest"
import { Effect, Queue } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api } from "../support/ApiTest.ts"
import type { Answer } from "../support/ScriptedReceiver.ts"

/** Answers nothing until told. */
const held = () => {
  const waiting: Array<() => void> = []
  const answer: Answer = (_, socket) => {
    waiting.push(() => socket.end("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
  }
  return { answer, release: Effect.sync(() => waiting.splice(0).forEach((answerNow) => answerNow())) }
}

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Retry", (it) => {
  it.scoped("a delivery that failed is sent again at once, under its own id", () =>
    Effect.gen(function*() {
      const { attempted, newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const receiver = yield* Rows.receiver({ status: 500 }, { status: 200 })
      yield* Rows.register(client, { url: receiver.url() })
      const { id } = yield* Rows.deliver(client, "deal.won")
      const answer = expectStatus(yield* client.post(`/api/deliveries/${id}/retry`), 202)
      assert.deepStrictEqual(answer.json, { status: "enqueued" })
      yield* attempted(id, 2)
      const { attempt_count, attempts, error_class, status } = yield* Rows.read(client, `/api/deliveries/${id}`)
      assert.deepStrictEqual({ attempt_count, error_class, status }, {
        attempt_count: 2,
        error_class: null,
        status: "delivered"
      })
      assert.deepStrictEqual(
        attempts.map(({ number, result }: { number: number; result: string }) => [number, result]),
        [
          [1, "failure_retryable"],
          [2, "success"]
        ]
      )
      const [first, second] = receiver.received
      assert.strictEqual(first?.text, second?.text)
      assert.strictEqual(first?.headers["webhook-id"], id)
      assert.strictEqual(second?.headers["webhook-id"], id)
    }))

  it.scoped("with wait_ms the answer is the delivery after its attempt", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const receiver = yield* Rows.receiver({ status: 400 }, { status: 500, body: "later" }, { status: 200 })
      yield* Rows.register(client, { url: receiver.url() })
      const { id } = yield* Rows.deliver(client, "deal.won")
      const retry = Effect.map(client.post(`/api/deliveries/${id}/retry?wait_ms=30000`), (answer) =>
        expectStatus(answer, 200).json)
      const failed = yield* retry
      assert.deepInclude(failed, {
        id,
        status: "failed_retryable",
        attempt_count: 2,
        last_response_body_sample: "later"
      })
      const delivered = yield* retry
      assert.deepInclude(delivered, { id, status: "delivered", attempt_count: 3, error_class: null })
      assert.lengthOf(delivered.attempts, 3)
      assert.deepStrictEqual(delivered, yield* Rows.read(client, `/api/deliveries/${id}`))
    }))

  it.scoped("a delivery that arrived can be sent again, any number of times", () =>
    Effect.gen(function*() {
      const { client } = yield* (yield* ApiTest).newTenant
      const receiver = yield* Rows.receiver()
      yield* Rows.register(client, { url: receiver.url(), retry_count: 1 })
      const { id } = yield* Rows.deliver(client, "deal.won")
      for (const attempt_count of [2, 3]) {
        const { json } = yield* client.post(`/api/deliveries/${id}/retry?wait_ms=30000`)
        assert.deepInclude(json, { status: "delivered", attempt_count })
      }
      assert.lengthOf(receiver.received, 3)
    }))

  it.scoped("while an attempt is under way a retry is a conflict; when it is over, it is none", () =>
    Effect.gen(function*() {
      const { attempted, newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const { answer, release } = held()
      const receiver = yield* Rows.receiver(answer)
      yield* Rows.register(client, { url: receiver.url(), timeout_ms: 20_000 })
      const { deliveries: [{ id }] } = yield* Rows.publish(client, "deal.won")
      yield* Queue.take(receiver.requests)
      for (const query of ["", "?wait_ms=30000"]) {
        const { json } = expectProblem(yield* client.post(`/api/deliveries/${id}/retry${query}`), 409, "not_retryable")
        assert.include(json.detail, id)
      }
      assert.deepInclude(yield* Rows.read(client, `/api/deliveries/${id}`), {
        status: "pending",
        attempt_count: 0,
        attempts: []
      })
      yield* release
      yield* attempted(id)
      yield* receiver.answer({ status: 200 })
      const { json } = expectStatus(yield* client.post(`/api/deliveries/${id}/retry?wait_ms=30000`), 200)
      assert.deepInclude(json, { status: "delivered", attempt_count: 2 })
      assert.lengthOf(receiver.received, 2)
    }))

  it.scoped("a wait that is over before the attempt is answers the delivery as it is", () =>
    Effect.gen(function*() {
      const { attempted, newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const { answer, release } = held()
      const receiver = yield* Rows.receiver({ status: 500 }, answer)
      yield* Rows.register(client, { url: receiver.url(), timeout_ms: 20_000 })
      const { id } = yield* Rows.deliver(client, "deal.won")
      const { json } = expectStatus(yield* client.post(`/api/deliveries/${id}/retry?wait_ms=0`), 200)
      assert.deepInclude(json, { id, status: "pending", attempt_count: 1 })
      yield* Queue.takeN(receiver.requests, 2)
      yield* release
      yield* attempted(id, 2)
      assert.strictEqual((yield* Rows.read(client, `/api/deliveries/${id}`)).status, "delivered")
    }))

  it.scoped("of many retries at once one is taken, and the receiver hears of one", () =>
    Effect.gen(function*() {
      const { attempted, newTenant } = yield* ApiTest
      const { client } = yield* newTenant
      const { answer, release } = held()
      const receiver = yield* Rows.receiver({ status: 500 }, answer)
      yield* Rows.register(client, { url: receiver.url(), timeout_ms: 20_000 })
      const { id } = yield* Rows.deliver(client, "deal.won")
      const retry = client.post(`/api/deliveries/${id}/retry`)
      const answers = yield* Effect.replicateEffect(retry, 20, { concurrency: "unbounded" })
      // Until the attempt begins, another wish for it is the same wish.
      assert.isNotEmpty(answers.filter(({ status }) => status === 202))
      for (const other of answers.filter(({ status }) => status !== 202)) expectProblem(other, 409, "not_retryable")
      yield* Queue.takeN(receiver.requests, 2)
      expectProblem(yield* retry, 409, "not_retryable")
      yield* release
      yield* attempted(id, 2)
      assert.lengthOf(receiver.received, 2)
    }))

  it.effect("what is no time to wait is refused", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      for (const wait of ["-1", "30001", "1.5", "soon", ""]) {
        const answer = yield* a.client.post(`/api/deliveries/dlv_01jmh2v3s8e5xt6dq4t9v0r1kz/retry?wait_ms=${wait}`)
        assert.strictEqual(expectProblem(answer, 422, "invalid_value").json.errors[0].path, "wait_ms")
      }
    }))
})
