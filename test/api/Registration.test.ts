import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api, type Sender } from "../support/ApiTest.ts"

const good = { url: "https://example.com/hook", events: ["deal.won"] }

/** That these fields are refused, each by its own name and code. */
const refuse = (sender: Sender, fields: object, path: string, code = "invalid_value") =>
  Effect.map(sender.post("/api/webhooks", { ...good, ...fields }), (answer) => {
    const { json } = expectProblem(answer, 422, code)
    assert.strictEqual(json.errors[0].path, path)
    return json
  })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Registration", (it) => {
  it.effect("what is not said has its default", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const answer = expectStatus(yield* a.client.post("/api/webhooks", good), 201)
      const { created_at, id, secret, updated_at, ...rest } = answer.json
      assert.match(id, /^whk_[0-7][0-9a-hjkmnp-tv-z]{25}$/)
      assert.match(created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      assert.strictEqual(updated_at, created_at)
      assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
      assert.deepStrictEqual(rest, {
        ...good,
        client_id: a.id,
        name: null,
        description: null,
        headers: {},
        signatures: ["x_signature", "deeper_hub", "standard_webhooks"],
        is_active: true,
        deactivation_reason: null,
        failure_count: 0,
        retry_count: 5,
        timeout_ms: 5_000,
        circuit: "closed",
        last_successful_delivery_at: null,
        last_failure_at: null,
        secret_expires_at: null,
        previous_secret_expires_at: null,
        warnings: []
      })
    }))

  it.effect("what is said is kept, and read back as it was said", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const said = {
        name: "CRM",
        description: "Negócios\nganhos 💰",
        url: "https://example.com/hook?a=1&b=%20",
        events: ["deal.*", "lead.created", "*"],
        signatures: ["standard_webhooks"],
        retry_count: 20,
        timeout_ms: 100,
        is_active: false,
        secret_expires_at: "2030-01-02T03:04:05.678Z"
      }
      const { secret: _, warnings: __, ...registered } = yield* Rows.register(a.client, said)
      assert.deepInclude(registered, { ...said, deactivation_reason: "owner" })
      assert.deepStrictEqual(yield* Rows.read(a.viewer, `/api/webhooks/${registered.id}`), registered)
    }))

  it.effect("the secret is in the answer to the registration and in no other", () =>
    Effect.gen(function*() {
      const { a, operator } = yield* ApiTest
      const chosen = "Chosen secret, 0123456789"
      for (const fields of [{}, { secret_key: chosen }]) {
        const { id, secret } = yield* Rows.register(a.client, fields)
        if ("secret_key" in fields) assert.strictEqual(secret, chosen)
        const answers = yield* Effect.all([
          a.client.get(`/api/webhooks/${id}`),
          a.client.get("/api/webhooks"),
          a.client.get(`/api/webhooks/${id}/health`),
          a.client.patch(`/api/webhooks/${id}`, { name: "seen" }),
          operator.get(`/api/webhooks/${id}`)
        ])
        for (const { json, status, text } of answers) {
          assert.strictEqual(status, 200)
          assert.notInclude(text, secret)
          assert.notProperty(json, "secret")
        }
      }
    }))

  it.effect("two webhooks never share a generated secret", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const webhooks = yield* Effect.replicateEffect(Rows.register(a.client), 5)
      assert.strictEqual(new Set(webhooks.map(({ secret }) => secret)).size, 5)
    }))

  it.effect("headers are shown by name, their values never", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const headers = { Authorization: "Bearer canary-7f3", "x-team": "canary-9b1" }
      const masked = { Authorization: "********", "x-team": "********" }
      const registered = expectStatus(yield* a.client.post("/api/webhooks", { ...good, headers }), 201)
      const answers = yield* Effect.all([
        a.client.get(`/api/webhooks/${registered.json.id}`),
        a.client.patch(`/api/webhooks/${registered.json.id}`, { name: "x" })
      ])
      for (const { json, text } of [registered, ...answers]) {
        assert.deepStrictEqual(json.headers, masked)
        assert.notInclude(text, "canary")
      }
    }))

  it.effect("a URL that deliveries may not reach is refused with the reason", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const refused: Readonly<Record<string, string>> = {
        "ftp://example.com/": "url_scheme",
        "javascript:alert(1)": "url_scheme",
        "example.com": "url_scheme",
        "https://10.0.0.1/": "url_forbidden_address",
        "https://169.254.169.254/latest/meta-data": "url_forbidden_address",
        "https://2130706434/": "url_forbidden_address",
        "https://[::ffff:a00:1]/": "url_forbidden_address",
        "https://service.internal/": "url_forbidden_host",
        "https://intranet/": "url_forbidden_host",
        "https://user:pass@example.com/": "url_userinfo",
        "https://example.com:22/": "url_port",
        "https://example.com:6379/": "url_port",
        "https://a..b/": "url_invalid",
        "https://": "url_invalid",
        "https://example.com/a b": "url_invalid",
        [`https://example.com/${"x".repeat(2_048)}`]: "url_invalid",
        "": "url_scheme"
      }
      const { id, url } = yield* Rows.register(a.client)
      for (const [refusedUrl, code] of Object.entries(refused)) {
        yield* refuse(a.client, { url: refusedUrl }, "url", code)
        expectProblem(yield* a.client.patch(`/api/webhooks/${id}`, { url: refusedUrl }), 422, code)
      }
      assert.strictEqual((yield* Rows.read(a.client, `/api/webhooks/${id}`)).url, url)
    }))

  it.effect("a header that is not for webhooks to set is refused with the reason", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      yield* refuse(a.client, { headers: { Host: "example.org" } }, "headers", "header_reserved")
      yield* refuse(a.client, { headers: { "Webhook-Id": "1" } }, "headers", "header_reserved")
      yield* refuse(a.client, { headers: { "CONTENT-TYPE": "text/plain" } }, "headers", "header_reserved")
      yield* refuse(a.client, { headers: { "x-a": "b\r\nx-c: d" } }, "headers", "header_invalid")
      yield* refuse(a.client, { headers: { "x-a": "\u0000" } }, "headers", "header_invalid")
      yield* refuse(a.client, { headers: { "x a": "b" } }, "headers", "header_invalid")
      yield* refuse(a.client, { headers: { "x-a": "1", "X-A": "2" } }, "headers", "header_invalid")
      yield* refuse(a.client, { headers: { "x-a": "v".repeat(4_097) } }, "headers", "header_limit")
      const many = Object.fromEntries(Array.from({ length: 21 }, (_, i) => [`x-${i}`, "v"]))
      yield* refuse(a.client, { headers: many }, "headers", "header_limit")
      yield* refuse(a.client, JSON.parse("{\"headers\": {\"__proto__\": \"v\"}}"), "headers.__proto__", "unknown_field")
    }))

  it.effect("bounds are told by the field, and what lies on them is accepted", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      for (const retry_count of [0, 21, -1, 2.5, 1e21, "5"]) yield* refuse(a.client, { retry_count }, "retry_count")
      for (const retry_count of [1, 20]) {
        assert.strictEqual((yield* Rows.register(a.client, { retry_count })).retry_count, retry_count)
      }
      for (const timeout_ms of [99, 20_001]) yield* refuse(a.client, { timeout_ms }, "timeout_ms")
      assert.strictEqual((yield* Rows.register(a.client, { timeout_ms: 20_000 })).timeout_ms, 20_000)
      yield* refuse(a.client, { events: [] }, "events")
      yield* refuse(a.client, { events: Array.from({ length: 101 }, (_, i) => `a.b${i}`) }, "events")
      for (const wrong of ["", "deal.", "*.won", "deal.*.won", "deal won", "x".repeat(131)]) {
        yield* refuse(a.client, { events: ["deal.won", wrong] }, "events.1")
      }
      yield* refuse(a.client, { signatures: [] }, "signatures")
      yield* refuse(a.client, { signatures: ["md5"] }, "signatures.0")
      yield* refuse(a.client, { name: "" }, "name")
      yield* refuse(a.client, { name: " x" }, "name")
      yield* refuse(a.client, { name: "x".repeat(121) }, "name")
      yield* refuse(a.client, { description: "x".repeat(1_001) }, "description")
    }))

  it.effect("L84 text that Postgres could not keep as it is is refused", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      for (const text of ["a\u0000b", "a\ud800b", "\udfff"]) {
        for (const field of ["name", "description"]) yield* refuse(a.client, { [field]: text }, field)
      }
      assert.strictEqual((yield* Rows.register(a.client, { name: "💥\u0001" })).name, "💥\u0001")
    }))

  it.effect("a moment has four digits of year, and is one that exists", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const wrong = ["1", "tomorrow", "2030-13-01T00:00:00Z", "+275760-09-13T00:00:00Z", "-271821-04-20T00:00:00Z", ""]
      for (const secret_expires_at of wrong) yield* refuse(a.client, { secret_expires_at }, "secret_expires_at")
      const offset = yield* Rows.register(a.client, { secret_expires_at: "2030-01-01T00:00:00+02:00" })
      assert.strictEqual(offset.secret_expires_at, "2029-12-31T22:00:00.000Z")
    }))

  it.effect("M90 a secret that is refused is not repeated", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      for (
        const secret_key of ["canary", `canary${"x".repeat(256)}`, " canary-", "whsec_canary", "canary\u0000\u00e9"]
      ) {
        const problem = yield* refuse(a.client, { secret_key }, "secret_key")
        assert.notInclude(JSON.stringify(problem), "canary")
      }
    }))

  it.effect("everything that is wrong is said at once", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const answer = yield* a.client.post("/api/webhooks", { events: [1], retry_count: 0, surplus: true })
      const { json } = expectProblem(answer, 422, "unknown_field")
      assert.sameDeepMembers(
        json.errors.map(({ code, path }: { code: string; path: string }) => ({ code, path })),
        [
          { code: "unknown_field", path: "surplus" },
          { code: "missing_field", path: "url" },
          { code: "invalid_value", path: "events.0" },
          { code: "invalid_value", path: "retry_count" }
        ]
      )
    }))

  it.effect("an answer to nonsense is never larger than can be read", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const surplus = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`f${i}`, 1]))
      const many = expectProblem(yield* a.client.post("/api/webhooks", surplus), 422, "unknown_field")
      assert.lengthOf(many.json.errors, 100)
      const long = yield* a.client.post("/api/webhooks", { ...good, name: [`${"x".repeat(500_000)}`] })
      assert.isBelow(expectProblem(long, 422, "invalid_value").text.length, 5_000)
    }))
})
