import { assert, layer } from "@effect/vitest"
import { Effect, Inspectable, Layer, Logger } from "effect"
import { ApiTest, expectStatus, make } from "../support/ApiTest.ts"
import * as PgTest from "../support/PgTest.ts"

/** All that is logged, in whatever depth. */
const logged: Array<string> = []

const Capture = Logger.replace(
  Logger.defaultLogger,
  Logger.make(({ cause, message }) => {
    logged.push(Inspectable.toStringUnknown({ message, cause: String(cause) }))
  })
)

const Api = make({ databaseUrl: PgTest.url, settings: { LOG_LEVEL: "ALL" } }).pipe(
  Layer.provide(Capture),
  Layer.provideMerge(PgTest.layer)
)

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("A refused publish", (it) => {
  it.scoped("is told to its publisher, and its body to no log", () =>
    Effect.gen(function*() {
      const { newTenant } = yield* ApiTest
      const { publisher } = yield* newTenant
      const event = { event_type: "deal.won", payload: { note: "unheard-of" } }
      expectStatus(yield* publisher.post("/api/events", { ...event, more: 1 }), 422)
      expectStatus(yield* publisher.post("/api/events", { ...event, payload: ["unheard-of"] }), 422)
      expectStatus(yield* publisher.post("/api/events/batch", { events: [event, { payload: "unheard-of" }] }), 422)
      assert.isNotEmpty(logged)
      assert.isEmpty(logged.filter((line) => line.includes("unheard-of")))
    }))
})
