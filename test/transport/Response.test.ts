import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { RetryableFailure } from "../../src/domain/DeliveryError.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Transport from "../support/Transport.ts"

const rawAnswer = (raw: string, after: "keep" | "end" = "end") => ScriptedReceiver.make({ raw, after })

layer(Transport.client())("WebhookClient: the response", (it) => {
  it.scoped("E35 a receiver that never answers is a response timeout", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make("hang")
      const failed = yield* Transport.failure(receiver.url())
      assert.deepInclude(failed, { _tag: "RetryableFailure", class: "response_timeout" })
      assert.isNull(failed.exchange.status)
      assert.strictEqual(failed.exchange.peerAddress, "127.0.0.1")
      assert.isAtLeast(failed.exchange.durationMs, Transport.timeoutMs - 5)
      assert.isBelow(failed.exchange.durationMs, Transport.timeoutMs + 1_000)
    }))

  it.scoped("E36 headers that drip in end at the deadline", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make((_, socket) =>
        ScriptedReceiver.drip(socket, "HTTP/1.1 200 OK\r\n", "X-A: 1\r\n")
      )
      assert.strictEqual((yield* Transport.failure(receiver.url())).class, "response_timeout")
    }))

  it.scoped("E37 more than ten interim responses are a protocol error", () =>
    Effect.gen(function*() {
      const flood = yield* rawAnswer("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(11), "keep")
      assert.strictEqual((yield* Transport.failure(flood.url())).class, "protocol_error")
      const few = yield* rawAnswer(
        `${"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10)}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`,
        "keep"
      )
      assert.strictEqual((yield* Transport.post(few.url())).status, 200)
    }))

  for (const status of ["100 Continue", "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket"]) {
    it.scoped(`E38 an unasked ${status.slice(0, 3)} is a protocol error`, () =>
      Effect.gen(function*() {
        const receiver = yield* rawAnswer(`HTTP/1.1 ${status}\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`)
        assert.strictEqual((yield* Transport.failure(receiver.url())).class, "protocol_error")
      }))
  }

  it.scoped("E39 more than 16 KB of headers are too large, ended or endless", () =>
    Effect.gen(function*() {
      const large = yield* rawAnswer(`HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(17_000)}\r\n\r\n`)
      assert.strictEqual((yield* Transport.failure(large.url())).class, "headers_too_large")
      const endless = yield* rawAnswer(`HTTP/1.1 200 OK\r\n${"X-A: aaaaaaaaaaaaaaaa\r\n".repeat(4_000)}`, "keep")
      assert.strictEqual((yield* Transport.failure(endless.url(), Transport.patient)).class, "headers_too_large")
    }))

  it.scoped("E39 trailers too large are a note on a success, since the status line decided", () =>
    Effect.gen(function*() {
      const receiver = yield* rawAnswer(
        `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-A: ${"a".repeat(17_000)}\r\n\r\n`
      )
      const exchange = yield* Transport.post(receiver.url())
      assert.strictEqual(exchange.status, 200)
      assert.isNotNull(exchange.bodyError)
    }))

  for (const status of [200, 201, 202, 204, 205, 206, 226, 299]) {
    it.scoped(`E40 ${status} is a success`, () =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make({ status })
        const exchange = yield* Transport.post(receiver.url(), Transport.patient)
        assert.strictEqual(exchange.status, status)
        assert.isNull(exchange.bodyError)
      }))
  }

  it.scoped("E40 HTTP/1.0 is a success", () =>
    Effect.gen(function*() {
      const receiver = yield* rawAnswer("HTTP/1.0 200 OK\r\n\r\nfine")
      const exchange = yield* Transport.post(receiver.url())
      assert.strictEqual(exchange.status, 200)
      assert.strictEqual(new TextDecoder().decode(exchange.body), "fine")
      assert.isNull(exchange.bodyError)
    }))

  for (const status of [300, 301, 302, 303, 304, 307, 308]) {
    it.scoped(`E41 ${status} fails, its Location recorded and not followed`, () =>
      Effect.gen(function*() {
        const target = yield* ScriptedReceiver.make()
        const receiver = yield* ScriptedReceiver.make({ status, headers: { Location: target.url("/there").href } })
        const failed = yield* Transport.failure(receiver.url(), Transport.patient)
        assert.deepInclude(failed, { _tag: "RetryableFailure", class: "http_3xx" })
        assert.strictEqual(failed.exchange.headers["location"], target.url("/there").href)
        assert.lengthOf(receiver.received, 1)
        assert.lengthOf(target.received, 0)
      }))
  }

  for (
    const [status, retryable, name] of [
      [400, false, "http_4xx"],
      [401, false, "http_4xx"],
      [403, false, "http_4xx"],
      [404, false, "http_4xx"],
      [422, false, "http_4xx"],
      [499, false, "http_4xx"],
      [408, true, "http_408"],
      [425, true, "http_425"]
    ] as const
  ) {
    it.scoped(`E42 ${status} is ${name}`, () => answers(status, retryable, name))
  }

  it.scoped("E43 410 is permanent, with a class of its own", () => answers(410, false, "http_410"))

  for (const [status, name] of [[429, "http_429"], [500, "http_5xx"], [503, "http_5xx"], [599, "http_5xx"]] as const) {
    it.scoped(`E44 ${status} is ${name}, with its Retry-After`, () =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make({ status, headers: { "Retry-After": "120" } })
        const failed = yield* Transport.failure(receiver.url(), Transport.patient)
        assert.deepInclude(failed, { _tag: "RetryableFailure", class: name, retryAfterMs: 120_000 })
      }))
  }

  for (
    const [value, expected] of [
      ["-5", null],
      ["1e309", null],
      ["NaN", null],
      ["1.5", null],
      ["", null],
      ["Thu, 01 Jan 1970 00:00:00 GMT", null],
      ["Thu, 01 Jan 1970 00:01:00 GMT", 60_000],
      ["Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799_000],
      [["7", "9"], 7_000]
    ] as const
  ) {
    it.scoped(`E45 Retry-After ${JSON.stringify(value)} gives ${expected}`, () =>
      Effect.gen(function*() {
        const receiver = yield* ScriptedReceiver.make({ status: 503, headers: { "Retry-After": value } })
        const failed = yield* Transport.failure(receiver.url(), Transport.patient)
        if (!(failed instanceof RetryableFailure)) return assert.fail(failed.class)
        // Dates count from the end of the attempt; the test clock says that it began at 0.
        const slackMs = failed.exchange.durationMs
        if (expected === null) assert.isNull(failed.retryAfterMs)
        else assert.include([expected, expected - slackMs], failed.retryAfterMs)
      }))
  }

  it.scoped("E46 a 413 before the upload ends is recorded", () =>
    Effect.gen(function*() {
      const port = yield* ScriptedReceiver.raw((socket) => {
        socket.once("data", () => {
          socket.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
          socket.resume()
        })
      })
      const body = new Uint8Array(4_000_000)
      const failed = yield* Transport.failure(`http://127.0.0.1:${port}/`, { ...Transport.patient, body })
      assert.strictEqual(failed.exchange.status, 413)
    }))

  for (
    const [what, raw] of [
      ["HTTP/0.9", "hello\n"],
      ["garbage", "\u0000\u0001\u0002\u0003garbage\r\n\r\n"],
      ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n"],
      ["HTTP/3.7", "HTTP/3.7 200 OK\r\n\r\n"],
      ["a NUL in a header", "HTTP/1.1 200 OK\r\nX-A: a\u0000b\r\nContent-Length: 0\r\n\r\n"],
      ["a space before the colon", "HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n"],
      ["an obs-fold", "HTTP/1.1 200 OK\r\nX-A: a\r\n folded\r\nContent-Length: 0\r\n\r\n"],
      ["bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
      ["two content lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"],
      ["a negative content length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"],
      ["both framings", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
      ["a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"]
    ] as const
  ) {
    it.scoped(`E47 ${what} is a protocol error`, () =>
      Effect.gen(function*() {
        const receiver = yield* rawAnswer(raw)
        const failed = yield* Transport.failure(receiver.url())
        assert.deepInclude(failed, { _tag: "RetryableFailure", class: "protocol_error" })
      }))
  }

  for (const status of ["000", "001", "099"]) {
    it.scoped(`E48 status ${status} is a protocol error, never a defect`, () =>
      Effect.gen(function*() {
        const receiver = yield* rawAnswer(`HTTP/1.1 ${status} What\r\nContent-Length: 0\r\n\r\n`)
        assert.strictEqual((yield* Transport.failure(receiver.url())).class, "protocol_error")
      }))
  }

  for (const status of [600, 999]) {
    it.scoped(`E48 status ${status} is a failure`, () => answers(status, true, "http_unexpected"))
  }

  for (const [again, joined] of [["", "1"], ["x-a: 2\r\n", "1, 2"]] as const) {
    it.scoped(`a header's values are "${joined}", whatever its name and the others'`, () =>
      Effect.gen(function*() {
        const receiver = yield* rawAnswer(
          `HTTP/1.1 200 OK\r\nX-A: 1\r\n${again}constructor: c\r\n__proto__: p\r\nX-L: \u00e9\r\nContent-Length: 0\r\n\r\n`
        )
        const { headers } = yield* Transport.post(receiver.url())
        assert.strictEqual(headers["x-a"], joined)
        assert.strictEqual(headers["constructor"], "c")
        assert.strictEqual(Object.getOwnPropertyDescriptor(headers, "__proto__")?.value, "p")
      }))
  }
})

const answers = (status: number, retryable: boolean, name: string) =>
  Effect.gen(function*() {
    const receiver = yield* ScriptedReceiver.make({
      raw: `HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`,
      after: "end"
    })
    const failed = yield* Transport.failure(receiver.url(), Transport.patient)
    assert.strictEqual(failed instanceof RetryableFailure, retryable)
    assert.strictEqual(failed.class, name)
    assert.strictEqual(failed.exchange.status, status)
    assert.include(failed.message, `${status}`)
  })
