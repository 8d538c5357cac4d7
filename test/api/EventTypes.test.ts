import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectProblem, expectStatus, layer as Api } from "../support/ApiTest.ts"

const crm = [
  "deal.created",
  "deal.lost",
  "deal.stage_changed",
  "deal.updated",
  "deal.won",
  "integration.connected",
  "integration.error",
  "integration.sync_completed",
  "lead.converted",
  "lead.created",
  "lead.updated",
  "proposal.accepted",
  "proposal.created",
  "proposal.rejected",
  "proposal.sent"
]

interface Entry {
  readonly name: string
}

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Event types", (it) => {
  it.effect("the catalogue has the CRM's types, by name, each with an example", () =>
    Effect.gen(function*() {
      const { a, b, operator } = yield* ApiTest
      const answer = expectStatus(yield* a.viewer.get("/api/event-types"), 200)
      const names = answer.json.data.map(({ name }: Entry) => name)
      assert.includeMembers(names, crm)
      const notices = ["alert.raised", "delivery.exhausted", "webhook.deactivated", "webhook.reactivated"]
      assert.includeMembers(names, notices, "and what the service itself tells of")
      assert.deepStrictEqual(names, names.toSorted())
      for (const { example, name, sensitive_paths, ...entry } of answer.json.data) {
        assert.hasAllKeys(entry, ["description", "schema", "created_at", "updated_at"], name)
        assert.isNotEmpty(example, name)
        assert.isEmpty(sensitive_paths, name)
      }
      assert.include(answer.text, "\"title\": \"Novo Neg\\u00f3cio\", \"value\": 1000.0}", "as its publisher writes it")
      assert.strictEqual((yield* b.client.get("/api/event-types")).text, answer.text)
      assert.strictEqual((yield* operator.get("/api/event-types")).text, answer.text)
    }))

  it.effect("an operator describes a type, again and again, and takes it out", () =>
    Effect.gen(function*() {
      const { a, operator } = yield* ApiTest
      const entry = {
        description: "Uma fatura venceu.",
        example: { id: 1, total: 10.5 },
        schema: { type: "object", required: ["id"] },
        sensitive_paths: ["customer.email", "items.*.price"]
      }
      const { created_at, updated_at, ...first } = expectStatus(
        yield* operator.put("/api/event-types/invoice.overdue", entry),
        200
      ).json
      assert.strictEqual(updated_at, created_at)
      assert.deepStrictEqual(first, { name: "invoice.overdue", ...entry })
      const listed = (yield* Rows.read(a.viewer, "/api/event-types")).data
      assert.deepInclude(listed, { created_at, updated_at, ...first })
      const { json: second } = expectStatus(yield* operator.put("/api/event-types/invoice.overdue", {}), 200)
      assert.deepInclude(second, { created_at, description: null, example: null, schema: null, sensitive_paths: [] })
      assert.isAtLeast(Date.parse(second.updated_at), Date.parse(updated_at))
      assert.strictEqual((yield* operator.del("/api/event-types/invoice.overdue")).status, 204)
      const names = (yield* Rows.read(a.viewer, "/api/event-types")).data.map(({ name }: Entry) => name)
      assert.notInclude(names, "invoice.overdue")
      expectProblem(yield* operator.del("/api/event-types/invoice.overdue"), 404, "event_type_not_found")
    }))

  it.effect("an example keeps its numbers and its strange keys", () =>
    Effect.gen(function*() {
      const { operator } = yield* ApiTest
      const put = operator.put(
        "/api/event-types/numbers.kept",
        `{"example": {"a": 1000.00, "b": 9007199254740993, "c": 1e21, "__proto__": {"\\u0000": "\\ud800"}}}`
      )
      const example = String
        .raw`"example": {"__proto__": {"\u0000": "\ud800"}, "a": 1000.0, "b": 9007199254740993, "c": 1e+21}`
      assert.include(expectStatus(yield* put, 200).text, example)
      assert.include((yield* operator.get("/api/event-types")).text, example)
    }))

  it.effect("sensitive paths count from the next event on, for every client", () =>
    Effect.gen(function*() {
      const { a, b, operator } = yield* ApiTest
      const payload = { customer: { email: "ana@example.com", name: "Ana" }, items: [{ price: 1 }, { price: null }] }
      const published = (sender: typeof a.client) =>
        Effect.flatMap(Rows.publish(sender, "order.paid", payload), ({ event_id }) =>
          Effect.map(Rows.read(sender, `/api/events/${event_id}`), (event) => event.payload))
      const put = (sensitive_paths: ReadonlyArray<string>) =>
        Effect.map(operator.put("/api/event-types/order.paid", { sensitive_paths }), (answer) =>
          expectStatus(answer, 200))
      assert.deepStrictEqual(yield* published(a.client), payload)
      yield* put(["customer.email", "items.price"])
      const redacted = {
        customer: { email: "[REDACTED]", name: "Ana" },
        items: [{ price: "[REDACTED]" }, { price: null }]
      }
      assert.deepStrictEqual(yield* published(a.client), redacted)
      assert.deepStrictEqual(yield* published(b.client), redacted)
      yield* put(["customer.*"])
      assert.deepStrictEqual((yield* published(a.client)).customer, { email: "[REDACTED]", name: "[REDACTED]" })
      yield* operator.del("/api/event-types/order.paid")
      assert.deepStrictEqual(yield* published(a.client), payload)
    }))

  it.effect("only operators write the catalogue", () =>
    Effect.gen(function*() {
      const { a, operator } = yield* ApiTest
      const before = (yield* operator.get("/api/event-types")).text
      for (const sender of [a.client, a.publisher, a.viewer]) {
        expectProblem(yield* sender.put("/api/event-types/deal.won", {}), 403, "forbidden")
        expectProblem(yield* sender.del("/api/event-types/deal.won"), 403, "forbidden")
      }
      assert.strictEqual((yield* operator.get("/api/event-types")).text, before)
    }))

  it.effect("names and entries are checked", () =>
    Effect.gen(function*() {
      const { operator } = yield* ApiTest
      const put = (name: string, entry: object = {}) => operator.put(`/api/event-types/${name}`, entry)
      for (const name of ["deal.", "deal.*", "a%20b", "%00", "x".repeat(129)]) {
        assert.strictEqual(expectProblem(yield* put(name), 422, "event_type_invalid").json.errors[0].path, "name")
      }
      for (const name of ["webhook", "webhook.ping", "alert.raised", "delivery.exhausted"]) {
        expectProblem(yield* put(name), 422, "event_type_reserved")
        expectProblem(yield* operator.del(`/api/event-types/${name}`), 422, "event_type_reserved")
      }
      expectStatus(yield* put("x".repeat(128)), 200)
      assert.strictEqual((yield* operator.del(`/api/event-types/${"x".repeat(128)}`)).status, 204)
      const refused: Readonly<Record<string, object>> = {
        description: { description: "x".repeat(1_001) },
        example: { example: [] },
        schema: { schema: "{}" },
        "sensitive_paths.0": { sensitive_paths: ["a..b"] },
        "sensitive_paths.1": { sensitive_paths: ["a", "\u0000"] },
        sensitive_paths: { sensitive_paths: Array.from({ length: 101 }, () => "a") }
      }
      for (const [path, entry] of Object.entries(refused)) {
        assert.strictEqual(expectProblem(yield* put("a.b", entry), 422, "invalid_value").json.errors[0].path, path)
      }
      for (const description of ["\u0000", "\ud800"]) {
        expectProblem(yield* put("a.b", { description }), 422, "invalid_value")
      }
    }))
})
