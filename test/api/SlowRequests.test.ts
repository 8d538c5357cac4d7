import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { Socket } from "node:net"
import { ApiTest, make, securityHeaders } from "../support/ApiTest.ts"
import { soon } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as RawHttp from "../support/RawHttp.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"

const Api = make({ databaseUrl: PgTest.url, settings: { WEBHOOKS_REQUEST_TIMEOUT_SECONDS: "1" } }).pipe(
  Layer.provideMerge(PgTest.layer)
)

const connect = Effect.flatMap(ApiTest, ({ port }) => RawHttp.connect(port))

/** The answer is the problem in every particular, and the connection ends with it. */
const expectRefusal = ({ headers, json, status }: RawHttp.RawAnswer, wanted: number, code: string) => {
  assert.deepStrictEqual({ status, code: json.code }, { status: wanted, code })
  assert.deepInclude(headers, {
    ...securityHeaders,
    connection: "close",
    "content-type": "application/problem+json",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'"
  })
  assert.hasAllKeys(json, ["type", "title", "status", "code", "detail"])
}

const publish = (headers: Readonly<Record<string, string>>) =>
  Effect.map(ApiTest, ({ a }) => RawHttp.head("POST /api/events", a.client.token, headers))

const oneMegabyte = Buffer.alloc(1_048_576, " ")
const chunk = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(65_536, " "), Buffer.from("\r\n")])

/** Sends chunk after chunk for as long as the other side takes them. */
const pour = (socket: Socket): void => {
  while (socket.writable && socket.write(chunk));
  if (socket.writable) socket.once("drain", () => pour(socket))
}

/** Whether the other side takes it: the error, or null once it is on its way. */
const written = (socket: Socket, bytes: string | Uint8Array) =>
  Effect.async<Error | null>((resume) => void socket.write(bytes, (error) => resume(Effect.succeed(error ?? null))))

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Slow requests", (it) => {
  it.scoped("L83 a body that stops half way is a 408, and the connection ends", () =>
    Effect.gen(function*() {
      const client = yield* connect
      yield* client.write((yield* publish({ "content-length": "100" })) + "{\"event_type\":")
      const answer = yield* soon(client.answer)
      expectRefusal(answer, 408, "request_timeout")
      assert.include(answer.json.detail, "within 1 s ")
      assert.isNull(yield* soon(client.ended))
    }))

  it.scoped("L83 a body that drips is a 408 too, and whoever goes on dripping is cut off", () =>
    Effect.gen(function*() {
      for (
        const [framing, drop] of [[{ "content-length": "100000" }, " "], [
          { "transfer-encoding": "chunked" },
          "1\r\n \r\n"
        ]] as const
      ) {
        const client = yield* connect
        ScriptedReceiver.drip(client.socket, yield* publish(framing), drop)
        expectRefusal(yield* soon(client.answer), 408, "request_timeout")
        yield* soon(client.ended)
      }
    }))

  it.scoped("L83 a body that comes slowly but in time is read", () =>
    Effect.gen(function*() {
      const client = yield* connect
      const body = "{\"event_type\": \"slow.but_sure\", \"payload\": {}}"
      yield* client.write(yield* publish({ "content-length": String(body.length), expect: "100-continue" }))
      assert.strictEqual((yield* soon(client.answer)).status, 100)
      for (const letter of body) {
        yield* client.write(letter)
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      const { headers, status } = yield* soon(client.answer)
      assert.deepStrictEqual([status, headers["connection"]], [202, "keep-alive"])
    }))

  it.scoped("L83 a header that stops half way, or never begins, is a 408", () =>
    Effect.gen(function*() {
      for (const half of ["POST /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ", "GET"]) {
        const client = yield* connect
        yield* client.write(half)
        expectRefusal(yield* soon(client.answer), 408, "request_timeout")
        assert.isNull(yield* soon(client.ended))
      }
      yield* soon((yield* connect).ended)
    }))

  it.scoped("a header over 16 KB is a 431, what is no HTTP a 400, and an unknown expectation a 417", () =>
    Effect.gen(function*() {
      const refusals = [
        [RawHttp.head("GET /healthz", null, { "x-long": "x".repeat(17_000) }), 431, "headers_too_large"],
        [RawHttp.head(`GET /${"x".repeat(17_000)}`, null), 431, "headers_too_large"],
        ["EHLO there\r\n\r\n", 400, "http_syntax"],
        ["GET /healthz HTTP/1.1\r\nno colon\r\n\r\n", 400, "http_syntax"],
        [
          "POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
          400,
          "http_syntax"
        ],
        [RawHttp.head("GET /healthz", null, { expect: "a-pony" }), 417, "expectation_failed"]
      ] as const
      for (const [request, status, code] of refusals) {
        const client = yield* connect
        yield* client.write(request)
        expectRefusal(yield* soon(client.answer), status, code)
        yield* soon(client.ended)
      }
    }))

  it.scoped("L83 whoever sends too much and reads only then still reads the 413, length announced or not", () =>
    Effect.gen(function*() {
      const announced = yield* connect
      yield* announced.write(yield* publish({ "content-length": String(8 * oneMegabyte.length) }))
      const streamed = yield* connect
      yield* streamed.write(yield* publish({ "transfer-encoding": "chunked" }))
      for (const client of [announced, streamed]) client.socket.pause()
      // More than lies in buffers: it comes to an end only if somebody takes it.
      for (let sent = 0; sent < 8 * oneMegabyte.length; sent += 65_536) {
        assert.isNull(yield* written(announced.socket, oneMegabyte.subarray(0, 65_536)))
        assert.isNull(yield* written(streamed.socket, chunk))
      }
      assert.isNull(yield* written(streamed.socket, "0\r\n\r\n"))
      for (const client of [announced, streamed]) {
        client.socket.resume()
        expectRefusal(yield* soon(client.answer), 413, "body_too_large")
        assert.isNull(yield* soon(client.ended))
      }
    }))

  it.scoped("L83 whoever never stops sending has its answer, and is cut off after a bounded amount", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const endless = { "transfer-encoding": "chunked" }
      for (
        const [head, status, code] of [
          [RawHttp.head("POST /api/events", a.client.token, endless), 413, "body_too_large"],
          [RawHttp.head("POST /api/events", "dhw_unknown", endless), 401, "unauthorized"],
          [
            RawHttp.head("POST /api/events", a.client.token, { ...endless, "content-encoding": "gzip" }),
            415,
            "unsupported_media_type"
          ],
          [RawHttp.head("POST /nothing", null, endless), 404, "route_not_found"],
          [RawHttp.head("GET /api/events", null, endless), 401, "unauthorized"]
        ] as const
      ) {
        const client = yield* connect
        yield* client.write(head)
        pour(client.socket)
        expectRefusal(yield* soon(client.answer), status, code)
        yield* soon(client.ended)
        // 16 MB are read at most; the rest lies in buffers of the two sides.
        assert.isBelow(client.socket.bytesWritten, 64 * oneMegabyte.length, code)
      }
    }))
})
