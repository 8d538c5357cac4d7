import { assert, layer } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import { ApiTest, layer as Api } from "../support/ApiTest.ts"
import * as RawExchange from "../support/RawExchange.ts"

const head = (...lines: ReadonlyArray<string>): string => [...lines, "", ""].join("\r\n")

const get = (target: string, ...headers: ReadonlyArray<string>): string =>
  head(`GET ${target} HTTP/1.1`, "Host: a", ...headers)

const post = (body: string, ...headers: ReadonlyArray<string>): string =>
  head("POST /api/events HTTP/1.1", "Host: a", "Content-Type: application/json", ...headers) + body

/** What is no request, and the status and code that say so. */
const refused: Readonly<Record<string, readonly [string, number, string]>> = {
  "noise": ["\u0000\u0001\u0002\r\n\r\n", 400, "http_syntax"],
  "half a request": ["GET /heal", 400, "http_syntax"],
  "TLS": ["\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001", 400, "http_syntax"],
  "HTTP/2": ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "http_syntax"],
  "HTTP/9.9": [head("GET /healthz HTTP/9.9", "Host: a"), 400, "http_syntax"],
  "a method that there is not": [head("BREW /pot HTTP/1.1", "Host: a"), 400, "http_syntax"],
  "a method in small letters": [head("get /healthz HTTP/1.1", "Host: a"), 400, "http_syntax"],
  "a space in the target": [get("/healthz now"), 400, "http_syntax"],
  "bytes beyond ASCII in the target": [get("/api/webhooks/\u00ff"), 400, "http_syntax"],
  "NUL in a header": [get("/healthz", "X: a\u0000b"), 400, "http_syntax"],
  "a header's name with a space": [get("/healthz", "X : a"), 400, "http_syntax"],
  "a folded header": [get("/healthz", "X: a\r\n b"), 400, "http_syntax"],
  "two lengths": [post("{}", "Content-Length: 2", "Content-Length: 3"), 400, "http_syntax"],
  "a length and chunks": [post("0\r\n\r\n", "Content-Length: 2", "Transfer-Encoding: chunked"), 400, "http_syntax"],
  "a length below nothing": [post("{}", "Content-Length: -2"), 400, "http_syntax"],
  "more headers than are read": [get("/healthz", `X: ${"x".repeat(20_000)}`), 431, "headers_too_large"],
  "a target longer than is read": [get(`/${"x".repeat(20_000)}`), 431, "headers_too_large"]
}

/** What is a request, if an odd one: the API answers it, or the connection ends. */
const odd: ReadonlyArray<string> = [
  "GET /healthz\r\n\r\n",
  head("GET /healthz HTTP/1.0"),
  head("GET /healthz HTTP/1.1"),
  head("GET http://elsewhere.example/healthz HTTP/1.1", "Host: a"),
  head("OPTIONS * HTTP/1.1", "Host: a"),
  head("TRACE /healthz HTTP/1.1", "Host: a"),
  head("HEAD /healthz HTTP/1.1", "Host: a"),
  head("PROPFIND /api/webhooks HTTP/1.1", "Host: a"),
  head("CONNECT elsewhere.example:443 HTTP/1.1", "Host: a"),
  get("//healthz"),
  get("/healthz#part"),
  get("/../healthz"),
  get("?"),
  get("/healthz", "Connection: Upgrade", "Upgrade: websocket"),
  get("/healthz", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA"),
  get("/healthz", "Expect: 100-continue"),
  get("/healthz", "Expect: more"),
  get("/healthz").repeat(5),
  post("{}", "Content-Length: 100"),
  post("{\"a\":", "Transfer-Encoding: chunked"),
  `\r\n\r\n${get("/healthz")}`
]

/** Where Node answers by itself to what it does take for a request (no Host, an expectation), it says nothing more. */
const isSilent = ({ body, head }: RawExchange.RawAnswer): boolean =>
  !head.includes("content-type:") && (body === "" || body === "0\r\n\r\n")

const check = (received: string, sent: string) => {
  for (const answer of RawExchange.answers(received)) {
    assert.isBelow(answer.status, 500, JSON.stringify(sent) + answer.body)
    if (answer.status < 400 || isSilent(answer)) continue
    assert.include(answer.head, "content-type: application/problem+json", JSON.stringify(sent))
    assert.strictEqual(JSON.parse(answer.body).status, answer.status)
  }
}

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("What is no HTTP", (it) => {
  for (const [what, [sent, status, code]] of Object.entries(refused)) {
    it.effect(`${what} is answered with a problem, and the connection ends`, () =>
      Effect.gen(function*() {
        const { port } = yield* ApiTest
        const [answer, ...more] = RawExchange.answers(yield* RawExchange.exchange(port, Buffer.from(sent, "latin1")))
        assert(answer)
        assert.isEmpty(more)
        for (
          const line of [
            "cache-control: no-store",
            "connection: close",
            "content-type: application/problem+json",
            "x-content-type-options: nosniff",
            `content-length: ${answer.body.length}`
          ]
        ) assert.include(answer.head, line)
        const { detail, title, ...rest } = JSON.parse(answer.body)
        assert.deepStrictEqual(rest, { type: "about:blank", status, code })
        assert.isNotEmpty(detail)
        assert.include(answer.head, `http/1.1 ${status} ${title.toLowerCase()}`)
      }))
  }

  it.effect("chunks that are none are refused while the API waits for them", () =>
    Effect.gen(function*() {
      const { a, port } = yield* ApiTest
      const chunked = [`Authorization: Bearer ${a.client.token}`, "Transfer-Encoding: chunked"]
      const refused = [
        [post("zz\r\n{}\r\n", ...chunked), 400, "http_syntax"],
        [post(`2;${"x".repeat(20_000)}\r\n{}\r\n0\r\n\r\n`, ...chunked), 413, "chunk_extensions_too_large"]
      ] as const
      for (const [sent, status, code] of refused) {
        const [answer] = RawExchange.answers(yield* RawExchange.exchange(port, sent))
        assert(answer)
        assert.strictEqual(answer.status, status)
        assert.strictEqual(JSON.parse(answer.body).code, code)
      }
    }))

  it.effect("what is an odd request is answered by the API, or not at all", () =>
    Effect.gen(function*() {
      const { port } = yield* ApiTest
      for (const sent of odd) check(yield* RawExchange.exchange(port, sent), sent)
    }))

  it.effect("a request with a byte changed or taken out is answered, and the service goes on", () =>
    Effect.gen(function*() {
      const { a, port } = yield* ApiTest
      const body = "{\"event_type\": \"deal.won\", \"payload\": {}}"
      const key = `Authorization: Bearer ${a.client.token}`
      const good = post(body, key, `Content-Length: ${body.length}`) + get("/api/events", key)
      const spoilt = fc.tuple(fc.nat(good.length), fc.nat(255), fc.nat(3)).map(([at, byte, removed]) =>
        good.slice(0, at) + String.fromCharCode(byte) + good.slice(at + removed)
      )
      const sent = fc.sample(spoilt, { seed: 84, numRuns: 1_000 })
      const received = yield* Effect.forEach(
        sent,
        (bytes) => RawExchange.exchange(port, Buffer.from(bytes, "latin1")),
        {
          concurrency: 8
        }
      )
      received.forEach((text, i) => check(text, sent[i] ?? ""))
      assert.strictEqual((yield* a.client.get("/api/events")).status, 200)
    }))
})
