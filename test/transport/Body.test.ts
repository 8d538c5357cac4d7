import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { gzipSync } from "node:zlib"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Transport from "../support/Transport.ts"

const head = (status: number, headers = "") => `HTTP/1.1 ${status} X\r\n${headers}\r\n`
const chunked = "Transfer-Encoding: chunked\r\n"

layer(Transport.client())("WebhookClient: the response's body", (it) => {
  for (const status of [200, 500]) {
    it.scoped(`F49 an endless body is read for 16 KB, and ${status} decides`, () =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make((_, socket) => {
          const more = () => {
            while (socket.writable && socket.write(`400\r\n${"a".repeat(1_024)}\r\n`)) { /* until it is full */ }
          }
          socket.on("drain", more)
          socket.write(head(status, chunked))
          more()
        })
        const { exchange, succeeded } = yield* Transport.either(receiver.url(), Transport.patient)
        assert.strictEqual(succeeded, status === 200)
        assert.strictEqual(exchange.status, status)
        assert.strictEqual(exchange.body.byteLength, 16_384)
        assert.isTrue(exchange.bodyTruncated)
        assert.isNull(exchange.bodyError)
        yield* receiver.answer({ status: 200 })
        yield* Transport.post(receiver.url(), Transport.patient)
        assert.strictEqual(yield* receiver.connections, 2)
      }))
  }

  it.scoped("F49 a body of exactly 16 KB is whole, and its connection is used again", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make({ body: "a".repeat(16_384) })
      const exchange = yield* Transport.post(receiver.url(), Transport.patient)
      assert.strictEqual(exchange.body.byteLength, 16_384)
      assert.isFalse(exchange.bodyTruncated)
      yield* Transport.post(receiver.url(), Transport.patient)
      assert.strictEqual(yield* receiver.connections, 1)
    }))

  for (const status of [200, 503]) {
    it.scoped(`F50 a body that drips ends at the deadline, and ${status} decides`, () =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make((_, socket) =>
          ScriptedReceiver.drip(socket, head(status, chunked), "1\r\na\r\n")
        )
        const { exchange, succeeded } = yield* Transport.either(receiver.url())
        assert.strictEqual(succeeded, status === 200)
        assert.strictEqual(exchange.status, status)
        assert.include(exchange.bodyError, "time was up")
        assert.match(new TextDecoder().decode(exchange.body), /^a+$/)
        assert.isBelow(exchange.durationMs, Transport.timeoutMs + 1_000)
      }))
  }

  for (
    const [what, raw, after] of [
      ["a reset", `${head(200, chunked)}2\r\nok\r\n`, "reset"],
      ["a bad chunk", `${head(200, chunked)}2\r\nok\r\nzz\r\n`, "end"],
      ["a missing last chunk", `${head(200, chunked)}2\r\nok\r\n`, "end"],
      ["a truncation", `${head(200, "Content-Length: 10\r\n")}ok`, "end"]
    ] as const
  ) {
    it.scoped(`F51 ${what} after a 2xx status line is a success with the body error noted`, () =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make({ raw, after })
        const exchange = yield* Transport.post(receiver.url())
        assert.strictEqual(exchange.status, 200)
        assert.include(exchange.bodyError, "broke off")
        if (after !== "reset") assert.strictEqual(new TextDecoder().decode(exchange.body), "ok")
      }))
  }

  it.scoped("F52 a gzip bomb stays packed", () =>
    Effect.gen(function*() {
      const packed = gzipSync(new Uint8Array(10_000_000))
      const receiver = yield* ScriptedReceiver.make({ headers: { "Content-Encoding": "gzip" }, body: packed })
      const exchange = yield* Transport.post(receiver.url(), Transport.patient)
      assert.deepStrictEqual(Buffer.from(exchange.body), packed.subarray(0, 16_384))
      assert.strictEqual(receiver.received[0]?.headers["accept-encoding"], "identity")
    }))

  it.scoped("F53 a 204 with a body is a success, and the body does not spoil the next answer", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make({
        raw: `${head(204, "Content-Length: 5\r\n")}HTTP/`,
        after: "keep"
      })
      assert.strictEqual((yield* Transport.post(receiver.url())).status, 204)
      yield* receiver.answer({ status: 200 })
      assert.strictEqual((yield* Transport.post(receiver.url(), Transport.patient)).status, 200)
    }))

  it.scoped("F54 the bytes of the body are kept as they came", () =>
    Effect.gen(function*() {
      const body = Uint8Array.from([
        0,
        0xff,
        0xfe,
        0xe2,
        0x80,
        0xae,
        0xc3,
        0x28,
        10,
        13,
        ...Array<number>(4_000).fill(0x41)
      ])
      const receiver = yield* ScriptedReceiver.make({ body })
      assert.deepStrictEqual((yield* Transport.post(receiver.url(), Transport.patient)).body, body)
    }))

  it.scoped("F55 a receiver that never reads a large payload is a response timeout", () =>
    Effect.gen(function*() {
      const port = yield* ScriptedReceiver.raw((socket) => socket.pause())
      const body = "a".repeat(8_000_000)
      const failed = yield* Transport.failure(`http://127.0.0.1:${port}/`, { body })
      assert.strictEqual(failed.class, "response_timeout")
    }))
})
