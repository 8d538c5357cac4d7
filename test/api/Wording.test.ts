import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { describe, fill, type Ids, operations } from "../support/ApiOperations.ts"
import * as Rows from "../support/ApiRows.ts"
import { type Answer, ApiTest, expectProblem, layer as Api } from "../support/ApiTest.ts"

const ids: Ids = {
  alert: "alr_01jmh2v3s8e5xt6dq4t9v0r1kz",
  api_key: "key_01jmh2v3s8e5xt6dq4t9v0r1kz",
  client: "nobody",
  delivery: "dlv_01jmh2v3s8e5xt6dq4t9v0r1kz",
  event: "evt_01jmh2v3s8e5xt6dq4t9v0r1kz",
  event_type: "deal.won",
  webhook: "whk_01jmh2v3s8e5xt6dq4t9v0r1kz"
}

const wrongValues = [null, [], [[]], [1], [{}], 5.5, -1, "", " x ", {}, { a: 1 }, true, "é".repeat(3_000), "2025-02-30"]
const wrongBodies = ["null", "[]", "1", "\"x\""]
const wrongParameters = ["", "x", "-1", "1.5", "2025-02-30"]

/** Names of our types, of the library's, and what only its authors can read. */
const internals =
  /\breadonly\b|Schema|Encoded|ReadonlyArray|Json(Object|Value)|Struct|matching the pattern|NewEvent|minLength|[{<|]|actual|Expected/

interface Issue {
  readonly path: string
  readonly message: string
}

/** What was found is the client's own; what was expected is ours to say. */
const expectedOf = ({ message }: Issue): string => message.replace(/, found [^]*$/, "")

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Wording", (it) => {
  it.effect("whatever is wrong with a request, it is said in words, and once", () =>
    Effect.gen(function*() {
      const { operator } = yield* ApiTest
      const routes = describe(yield* Rows.read(operator, "/openapi.json"))
      const seen = new Set<string>()
      const look = (answer: Answer, asked: string) => {
        const errors: ReadonlyArray<Issue> = answer.json?.errors ?? []
        assert.strictEqual(new Set(errors.map(({ path }) => path)).size, errors.length, `${asked}: ${answer.text}`)
        for (const issue of errors) {
          assert.notMatch(expectedOf(issue), internals, asked)
          seen.add(expectedOf(issue))
        }
      }
      for (const { body, method, name, path, query } of routes) {
        const ask = (search: string, text?: string) =>
          Effect.map(
            operator.send({ method, path: fill(path, ids) + search, ...(text !== undefined && { body: text }) }),
            (answer) => look(answer, `${name}${search} ${text?.slice(0, 100)}`)
          )
        for (const parameter of query) for (const wrong of wrongParameters) yield* ask(`?${parameter}=${wrong}`)
        if (body === undefined) continue
        for (const wrong of wrongBodies) yield* ask("", wrong)
        for (const field of Object.keys(body.properties)) {
          for (const wrong of wrongValues) yield* ask("", JSON.stringify({ ...operations[name]?.body, [field]: wrong }))
        }
      }
      assert.includeMembers(Array.from(seen), [
        "expected an object",
        "expected a text",
        "expected a list",
        "expected true or false",
        "expected a whole number",
        "expected a number",
        "expected a whole number from 1 to 200",
        "expected one of \"operator\", \"client\", \"publisher\", \"viewer\"",
        "is missing"
      ])
    }))

  it.effect("of an item in a list that may be left out, the item is named and not the list", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const wrong = { url: Rows.deadUrl, events: ["*"], signatures: ["md5"], headers: { a: 1 } }
      const { json } = expectProblem(yield* a.client.post("/api/webhooks", wrong), 422, "invalid_value")
      assert.sameDeepMembers(json.errors, [
        { path: "headers.a", code: "invalid_value", message: "expected a text, found a number" },
        {
          path: "signatures.0",
          code: "invalid_value",
          message: "expected one of \"x_signature\", \"deeper_hub\", \"standard_webhooks\", found a text"
        }
      ])
    }))

  it.effect("a day that no calendar has is refused, and not taken for the next one", () =>
    Effect.gen(function*() {
      const { a } = yield* ApiTest
      const event = { event_type: "a.b", payload: {}, occurred_at: "2025-02-30T12:00:00Z" }
      const { json } = expectProblem(yield* a.client.post("/api/events", event), 422, "invalid_value")
      assert.deepInclude(json.errors[0], { path: "occurred_at", message: "expected a day that the calendar has" })
    }))
})
