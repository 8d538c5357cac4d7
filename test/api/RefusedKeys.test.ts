import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Tracer } from "effect"
import { ApiTest, expectProblem, expectStatus, make, type Sender } from "../support/ApiTest.ts"
import * as PgTest from "../support/PgTest.ts"

interface Step {
  readonly trace: string
  readonly name: string
  readonly attributes: Map<string, unknown>
}

/** Every span of the service, in the order in which they began. */
const steps: Array<Step> = []

let spans = 0
const tracer = Tracer.make({
  span: (name, parent, context, links, startTime, kind) => {
    const spanId = `s${++spans}`
    const trace = parent._tag === "Some" ? parent.value.traceId : `t${spanId}`
    const attributes = new Map<string, unknown>()
    steps.push({ trace, name, attributes })
    return {
      _tag: "Span",
      name,
      spanId,
      traceId: trace,
      parent,
      context,
      status: { _tag: "Started", startTime },
      attributes,
      links,
      sampled: true,
      kind,
      end: () => {},
      attribute: (key, value) => void attributes.set(key, value),
      event: () => {},
      addLinks: () => {}
    }
  },
  context: (execution) => execution()
})

const Api = make({ databaseUrl: PgTest.url }).pipe(
  Layer.provideMerge(PgTest.layer),
  Layer.provide(Layer.setTracer(tracer))
)

const path = "/api/webhooks"

/** What the service did for the request: the names of its steps, and the statements that it sent. */
const traced = (sender: Sender) =>
  Effect.gen(function*() {
    const from = steps.length
    const answer = yield* sender.get(path)
    const request = steps.slice(from).find(({ attributes }) => attributes.get("url.path") === path)
    const done = steps.filter(({ trace }) => trace === request?.trace).map(({ attributes, name }) => ({
      name,
      sql: attributes.get("db.query.text")
    }))
    return { answer, done }
  })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Refused keys", (it) => {
  it.effect("L86 an unknown key, a wrong secret, a revoked and an expired key take the same steps to the same 401", () =>
    Effect.gen(function*() {
      const { a, operator, withToken } = yield* ApiTest
      const issue = (fields: object) =>
        Effect.map(
          operator.post("/api/clients/tenant-a/keys", { role: "client", ...fields }),
          (answer) => expectStatus(answer, 201).json
        )
      const revoked = yield* issue({})
      expectStatus(yield* operator.del(`/api/clients/tenant-a/keys/${revoked.id}`), 204)
      const expired = yield* issue({ expires_at: "2020-01-01T00:00:00Z" })
      // In use, so that the service may know it by heart.
      yield* traced(a.client)
      const token = a.client.token ?? ""
      const refused = {
        unknown: token.replace(/^dhw_.{26}/, "dhw_01jmh2v3s8e5xt6dq4t9v0r1kz"),
        wrong: token.replace(/_[0-9a-f]{64}$/, `_${"0".repeat(64)}`),
        revoked: revoked.token,
        expired: expired.token
      }
      const [first, ...others] = yield* Effect.forEach(Object.values(refused), (token) => traced(withToken(token)))
      assert.lengthOf(others, 3)
      for (const { answer, done } of others) {
        assert.strictEqual(expectProblem(answer, 401, "unauthorized").text, first?.answer.text)
        assert.deepStrictEqual(answer.headers, { ...first?.answer.headers, date: answer.headers["date"] ?? "" })
        assert.deepStrictEqual(done, first?.done)
      }
      const statements = first?.done.filter(({ sql }) => sql !== undefined) ?? []
      assert.lengthOf(statements, 1)
      assert.include(String(statements[0]?.sql), "api_keys")
      const { answer, done } = yield* traced(a.client)
      assert.strictEqual(answer.status, 200)
      assert.isAbove(done.length, first?.done.length ?? 0, "and the steps can be told from others")
    }))
})
