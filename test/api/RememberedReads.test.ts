import * as Statement from "@effect/sql/Statement"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ApiTest, expectStatus, make, type Sender } from "../support/ApiTest.ts"
import { eventually } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"

/** What is read of keys, clients and event types: nobody but requests does. */
const reads: Array<string> = []

const recorder = Statement.setTransformer((statement) =>
  Effect.sync(() => {
    const [text] = statement.compile()
    const [, table] = /SELECT[^]*FROM (api_keys|clients|event_types)\s+WHERE/.exec(text) ?? []
    if (table !== undefined) reads.push(table)
    return statement
  })
)

const Api = make({ databaseUrl: PgTest.url }).pipe(Layer.provide(recorder), Layer.provideMerge(PgTest.layer))

/** What publishing an event reads before its commit. */
const readToPublish = ({ post }: Sender) =>
  Effect.gen(function*() {
    reads.length = 0
    expectStatus(yield* post("/api/events", { event_type: "deal.won", payload: { password: "x" } }), 202)
    return [...reads]
  })

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Remembered reads", (it) => {
  it.effect("publishing again asks for neither key, client nor event types, until one of them changes", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { publisher } = yield* newTenant
      const none = eventually(readToPublish(publisher), (read) => read.length === 0)
      yield* none
      const entry = { description: "d", example: null, schema: null, sensitive_paths: ["a"] }
      expectStatus(yield* operator.put("/api/event-types/thing.done", entry), 200)
      assert.include(yield* readToPublish(publisher), "event_types")
      yield* none
    }))
})
