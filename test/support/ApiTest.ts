/**
 * The whole service on a port of its own and a database of its own, once a file, and clients of it that speak plain
 * HTTP: each sends with one key and takes what comes as it is.
 */
import * as HttpServer from "@effect/platform/HttpServer"
import { ConfigProvider, Context, Effect, Layer, Redacted, Stream, SubscriptionRef } from "effect"
import { Readable } from "node:stream"
import { type Dispatcher, Pool } from "undici"
import { assert } from "vitest"
import * as App from "../../src/App.ts"
import { ApiKeys } from "../../src/service/ApiKeys.ts"
import { Signals } from "../../src/telemetry/Signals.ts"
import * as PgTest from "./PgTest.ts"

/** What came is looked at by assertions: a narrower type would claim what a test has yet to show. */
type Parsed = ReturnType<typeof JSON.parse>

export interface Answer {
  /** Of the request. */
  readonly method: string
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  /** Of the text; undefined where it is none. */
  readonly json: Parsed
}

export interface Call {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** As it is; a stream is sent in chunks, without a Content-Length. */
  readonly body?: string | Uint8Array | Readable
}

type Body = object | string

/** Somebody with a key, or without one. */
export interface Sender {
  readonly token: string | null
  readonly send: (call: Call) => Effect.Effect<Answer>
  readonly get: (path: string, headers?: Call["headers"]) => Effect.Effect<Answer>
  readonly post: (path: string, body?: Body, headers?: Call["headers"]) => Effect.Effect<Answer>
  readonly put: (path: string, body: Body) => Effect.Effect<Answer>
  readonly patch: (path: string, body: Body) => Effect.Effect<Answer>
  readonly del: (path: string) => Effect.Effect<Answer>
}

export type TenantRole = "client" | "publisher" | "viewer"

/** A client of the service with a key of each role. */
export interface Tenant extends Readonly<Record<TenantRole, Sender>> {
  readonly id: string
}

export class ApiTest extends Context.Tag("deeper-hub-webhooks/test/support/ApiTest")<ApiTest, {
  readonly port: number
  readonly operator: Sender
  readonly a: Tenant
  readonly b: Tenant
  readonly nobody: Sender
  readonly withToken: (token: string) => Sender
  /** Another client with its keys, of which no other test knows. */
  readonly newTenant: Effect.Effect<Tenant>
  /** Waits until what came of so many attempts of the delivery is written. */
  readonly attempted: (deliveryId: string, times?: number) => Effect.Effect<void>
}>() {}

export interface ApiTestOptions<R> {
  /** The database's URL as the service is to have it. */
  readonly databaseUrl: Effect.Effect<string, never, R>
  /** Over the settings below. */
  readonly settings?: Readonly<Record<string, string>>
}

const settings = {
  HOST: "127.0.0.1",
  PORT: "0",
  LOG_LEVEL: "OFF",
  DATABASE_POOL_MAX: "10",
  WEBHOOKS_ENCRYPTION_KEYS: `k1:${Buffer.alloc(32, 7).toString("base64")}`,
  WEBHOOKS_ALLOWED_URL_SCHEMES: "https,http",
  WEBHOOKS_ALLOWED_IP_RANGES_FOR_URL: "127.0.0.1/32",
  // A failed delivery stays where it is for as long as a test looks at it.
  WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS: "600"
}

const service = <R>(options: ApiTestOptions<R>) =>
  Layer.unwrapEffect(Effect.map(options.databaseUrl, (url) => {
    const environment = { ...settings, DATABASE_URL: url, ...options.settings }
    const provider = ConfigProvider.fromMap(new Map(Object.entries(environment)), { pathDelim: "_" })
    return App.layer.pipe(Layer.provide(Layer.setConfigProvider(provider)), Layer.orDie)
  }))

const senders = Layer.scoped(
  ApiTest,
  Effect.gen(function*() {
    const port = yield* HttpServer.addressWith((address) =>
      Effect.succeed(address._tag === "TcpAddress" ? address.port : 0)
    )
    const pool = yield* Effect.acquireRelease(
      Effect.sync(() => new Pool(`http://127.0.0.1:${port}`, { pipelining: 1 })),
      (pool) => Effect.promise(() => pool.destroy())
    )
    const keys = yield* ApiKeys
    const { token } = yield* Effect.orDie(keys.issueOperator("tests", () => Effect.void))
    const operator = sender(pool, Redacted.value(token))
    const withToken = (own: string) => sender(pool, own)
    const tenant = (id: string) =>
      Effect.gen(function*() {
        expectStatus(yield* operator.post("/api/clients", { id }), 201)
        const key = (role: TenantRole) =>
          Effect.map(operator.post(`/api/clients/${id}/keys`, { role }), (issued) =>
            withToken(expectStatus(issued, 201).json.token))
        return {
          id,
          ...yield* Effect.all({ client: key("client"), publisher: key("publisher"), viewer: key("viewer") })
        }
      })
    const [a, b] = yield* Effect.all([tenant("tenant-a"), tenant("tenant-b")])
    let tenants = 0
    const newTenant = Effect.suspend(() => tenant(`tenant-${++tenants}`))
    return { port, operator, a, b, nobody: sender(pool, null), withToken, newTenant, attempted: yield* countAttempts }
  })
)

const countAttempts = Effect.gen(function*() {
  const counts = yield* SubscriptionRef.make<Readonly<Record<string, number>>>({})
  const signals = yield* Stream.fromPubSub(yield* Signals, { scoped: true })
  yield* signals.pipe(
    Stream.runForEach((signal) =>
      signal._tag === "AttemptRecorded"
        ? SubscriptionRef.update(
          counts,
          (known) => ({ ...known, [signal.deliveryId]: (known[signal.deliveryId] ?? 0) + 1 })
        )
        : Effect.void
    ),
    Effect.forkScoped
  )
  return (deliveryId: string, times = 1) =>
    counts.changes.pipe(
      Stream.takeUntil((known) => (known[deliveryId] ?? 0) >= times),
      Stream.runDrain
    )
})

export const make = <R>(options: ApiTestOptions<R>) => Layer.provideMerge(senders, service(options))

/** The service, and PgTest's own way to its database. */
export const layer = make({ databaseUrl: PgTest.url }).pipe(Layer.provideMerge(PgTest.layer))

const sender = (pool: Pool, token: string | null): Sender => {
  const send = (call: Call) => Effect.map(Effect.promise((signal) => exchange(pool, token, call, signal)), checked)
  const sendJson = (method: string) => (path: string, body?: Body, headers: Call["headers"] = {}) =>
    send({
      method,
      path,
      ...(body === undefined ? { headers } : {
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body)
      })
    })
  return {
    token,
    send,
    get: (path, headers = {}) => send({ method: "GET", path, headers }),
    post: sendJson("POST"),
    put: sendJson("PUT"),
    patch: sendJson("PATCH"),
    del: (path) => send({ method: "DELETE", path })
  }
}

const exchange = async (pool: Pool, token: string | null, call: Call, signal: AbortSignal): Promise<Answer> => {
  const { body, headers, statusCode } = await pool.request({
    method: call.method as Dispatcher.HttpMethod,
    path: call.path,
    headers: { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...call.headers },
    body: call.body ?? null,
    signal
  })
  const text = await body.text()
  const isJson = /[/+]json$/.test(String(headers["content-type"]))
  return {
    method: call.method,
    status: statusCode,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
    text,
    json: isJson && text !== "" ? JSON.parse(text) : undefined
  }
}

/** What holds of every answer, whatever was asked. */
const checked = (answer: Answer): Answer => {
  assert.notStrictEqual(answer.status, 500, answer.text)
  assert.deepInclude(answer.headers, securityHeaders)
  const policy = answer.headers["content-security-policy"] ?? ""
  const isPage = answer.headers["content-type"]?.startsWith("text/html") ?? false
  if (!isPage) assert.strictEqual(policy, "default-src 'none'; frame-ancestors 'none'")
  for (const name of ["server", "x-powered-by", "set-cookie"]) assert.notProperty(answer.headers, name)
  assert.strictEqual(answer.headers["www-authenticate"], answer.status === 401 ? "Bearer" : undefined)
  assert.strictEqual(
    "allow" in answer.headers,
    answer.status === 405 || answer.method === "OPTIONS" && answer.status < 400
  )
  assert.strictEqual(/^[1-9]\d*$/.test(answer.headers["retry-after"] ?? ""), [429, 503].includes(answer.status))
  if (answer.status >= 400 && answer.method !== "HEAD") checkProblem(answer)
  return answer
}

/** On every answer, whoever gives it. */
export const securityHeaders = {
  "cache-control": "no-store",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY"
}

const checkProblem = ({ headers, json, status, text }: Answer): void => {
  assert.strictEqual(headers["content-type"], "application/problem+json", text)
  const members = ["type", "title", "status", "code", "detail"]
  assert.hasAllKeys(json, status === 422 ? [...members, "errors"] : members)
  assert.deepInclude(json, { type: "about:blank", title: titles[status], status })
  assert.match(json.code, /^[a-z]+(_[a-z]+)*$/)
  assert.isNotEmpty(json.detail)
  if (status !== 422) return
  assert.strictEqual(json.code, json.errors[0].code, "the first issue's code is the problem's")
  for (const issue of json.errors) {
    assert.hasAllKeys(issue, ["path", "code", "message"])
    assert.isNotEmpty(issue.message)
  }
}

const titles: Readonly<Record<number, string>> = {
  400: "Bad request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not found",
  405: "Method not allowed",
  408: "Request timeout",
  409: "Conflict",
  413: "Content too large",
  415: "Unsupported media type",
  422: "Unprocessable content",
  429: "Too many requests",
  431: "Request header fields too large",
  503: "Service unavailable"
}

/** A body without a Content-Length. */
export const inChunks = (body: Uint8Array): Readable =>
  Readable.from(function*() {
    for (let at = 0; at < body.length; at += 65_536) yield body.subarray(at, at + 65_536)
  }())

export const expectStatus = (answer: Answer, status: number): Answer => {
  assert.strictEqual(answer.status, status, answer.text)
  return answer
}

/** That it is a problem in every particular was checked when it came. */
export const expectProblem = (answer: Answer, status: number, code: string): Answer => {
  assert.deepStrictEqual({ status: answer.status, code: answer.json?.code }, { status, code }, answer.text)
  return answer
}
