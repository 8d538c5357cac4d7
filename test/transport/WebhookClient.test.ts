import { assert, layer } from "@effect/vitest"
import { Cause, Effect, Exit, FastCheck as fc, Fiber, Queue, TestClock } from "effect"
import { WebhookClient } from "../../src/transport/WebhookClient.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Transport from "../support/Transport.ts"

layer(Transport.client())("WebhookClient at its end", (it) => {
  it.scoped("G61 breaks off what is under way, and whatever is asked of it later, before a byte is sent", () =>
    Effect.gen(function*() {
      const client = yield* WebhookClient
      const receiver = yield* ScriptedReceiver.make(() => {})
      const classOf = Effect.map(
        Effect.flip(Transport.post(receiver.url(), Transport.patient)),
        (failure) => failure.class
      )
      const underWay = yield* Effect.fork(classOf)
      yield* Queue.take(receiver.requests)
      yield* client.interrupt
      assert.strictEqual(yield* Fiber.join(underWay), "interrupted")
      assert.strictEqual(yield* classOf, "interrupted")
      assert.lengthOf(receiver.received, 1)
    }))
})

layer(Transport.client())("WebhookClient", (it) => {
  it.scoped("posts the body as it is, with the caller's headers as they are named", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_740_044_040_000)
      const receiver = yield* ScriptedReceiver.make({ status: 202, headers: { "X-Answer": "yes" }, body: "thanks" })
      const body = `{"text": "\u00e9 \u2028 \u{1f980}"}`
      const exchange = yield* Transport.post(receiver.url("/hook?a=1%202#fragment"), {
        ...Transport.patient,
        headers: { "X-Webhook-ID": "whk_1", "webhook-id": "dlv_1", "X-Latin": "caf\u00e9" },
        body
      })
      const [request] = receiver.received
      assert.strictEqual(request?.method, "POST")
      assert.strictEqual(request?.path, "/hook?a=1%202")
      assert.strictEqual(request?.text, body)
      assert.deepStrictEqual(
        request?.rawHeaders.filter((_, i) => i % 2 === 0),
        [
          "host",
          "connection",
          "User-Agent",
          "Accept-Encoding",
          "X-Webhook-ID",
          "webhook-id",
          "X-Latin",
          "content-length"
        ]
      )
      assert.strictEqual(request?.headers["user-agent"], "transport-test/1")
      assert.strictEqual(request?.headers["x-latin"], "caf\u00e9")
      assert.strictEqual(exchange.startedAt, 1_740_044_040_000)
      assert.strictEqual(exchange.status, 202)
      assert.strictEqual(exchange.peerAddress, "127.0.0.1")
      assert.strictEqual(exchange.headers["x-answer"], "yes")
      assert.strictEqual(new TextDecoder().decode(exchange.body), "thanks")
      assert.isFalse(exchange.bodyTruncated)
      assert.isNull(exchange.bodyError)
      assert.isTrue(Number.isInteger(exchange.durationMs))
    }))

  it.scoped("posts and gives up where nobody may interrupt it, as attempts do", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make(({ path }) => path === "/hang" ? "hang" : { status: 204 })
      const send = (path: string, timeoutMs: number) =>
        Effect.uninterruptible(Transport.post(receiver.url(path), { ...Transport.patient, timeoutMs }))
      assert.strictEqual((yield* send("/", 5_000)).status, 204)
      assert.strictEqual((yield* Effect.flip(send("/hang", 100))).class, "response_timeout")
    }))

  it.scoped("posts bytes, and an empty body", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make()
      const window = Uint8Array.from([9, 0, 255, 10, 9]).subarray(1, 4)
      yield* Transport.post(receiver.url(), { ...Transport.patient, body: window })
      yield* Transport.post(receiver.url(), { ...Transport.patient, body: "" })
      assert.deepStrictEqual(receiver.received.map(({ body }) => body.toString("hex")), ["00ff0a", ""])
    }))

  it.scoped("uses a connection again, one request at a time", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make()
      for (let i = 0; i < 10; i++) yield* Transport.post(receiver.url(`/${i}`), Transport.patient)
      assert.strictEqual(yield* receiver.connections, 1)
      yield* Effect.all(Array.from({ length: 10 }, () => Transport.post(receiver.url(), Transport.patient)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(yield* receiver.connections, 10)
    }))

  it.scoped("E48 what undici refuses to send is permanent, never a defect", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make()
      const unsendable: ReadonlyArray<Readonly<Record<string, string>>> = [
        { "X-A": "secret\r\nX-B: b" },
        { "X-A": "\u65e5" },
        { "X A": "secret" },
        { Expect: "100-continue" },
        { Upgrade: "h2c" },
        { "Transfer-Encoding": "chunked" },
        { "Content-Length": "1" }
      ]
      for (const headers of unsendable) {
        const failed = yield* Transport.failure(receiver.url(), { ...Transport.patient, headers })
        assert.deepInclude(failed, { _tag: "PermanentFailure", class: "request_invalid" }, JSON.stringify(headers))
        assert.notInclude(failed.message, "secret")
      }
      for (const url of ["ftp://127.0.0.1/", "data:text/plain,x", "file:///etc/passwd", "ws://127.0.0.1/"]) {
        assert.strictEqual((yield* Transport.failure(url)).class, "request_invalid")
      }
      assert.lengthOf(receiver.received, 0)
    }))

  it.effect.prop(
    "survives whatever a receiver answers",
    { bytes: fc.uint8Array({ maxLength: 200 }) },
    ({ bytes }) =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make({ raw: bytes, after: "end" })
        const exit = yield* Effect.exit(Transport.post(receiver.url()))
        assert.isFalse(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      }).pipe(Effect.scoped),
    { fastCheck: { numRuns: 50 } }
  )

  it.effect.prop(
    "survives whatever follows a status line",
    { tail: fc.string({ maxLength: 200 }) },
    ({ tail }) =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make({ raw: `HTTP/1.1 200 OK\r\n${tail}`, after: "end" })
        const exit = yield* Effect.exit(Transport.post(receiver.url()))
        assert.isFalse(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      }).pipe(Effect.scoped),
    { fastCheck: { numRuns: 50 } }
  )
})
