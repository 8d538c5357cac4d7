import { assert, layer } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import type { Outcome } from "../../src/persistence/Outcomes.ts"
import { row } from "../support/Conduct.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const failure = (errorClass: Outcome["errorClass"]): Partial<Outcome> => ({
  result: "failure_permanent",
  status: "failed_permanent",
  errorClass
})

layer(Stores.layer, Stores.options)("What outcomes leave for the Monitor", (it) => {
  it.effect("the latest error, the pace of the minute, and the end of the certificate", () =>
    Effect.gen(function*() {
      const client = yield* Rows.makeClient("conduct")
      const { id } = yield* Rows.makeWebhook(client, ["deal.*"])
      const store = yield* DeliveryStore
      yield* Effect.replicateEffect(Rows.publish(client, "deal.won"), 10)
      const claimed = [...(yield* Rows.claim(20))]
      const record = (...changes: ReadonlyArray<Partial<Outcome>>) =>
        Effect.forEach(changes, (change) => {
          const delivery = claimed.shift()
          return delivery === undefined ? Effect.dieMessage("no delivery left") : Rows.outcome(delivery, change)
        }).pipe(Effect.flatMap(store.record))
      const lasting = (durationMs: number, certificateExpiresAt: number | null): Partial<Outcome> => ({
        exchange: { ...Rows.exchange(200), durationMs, certificateExpiresAt }
      })

      yield* record(failure("http_5xx"), failure("tls_expired"))
      assert.deepInclude(yield* row(id), { lastErrorClass: "tls_expired", failureCount: 2, isSlow: false })
      yield* record({ ...failure("local_resource"), counted: false })
      assert.deepInclude(yield* row(id), { lastErrorClass: "tls_expired", failureCount: 2 })
      const ends = DateTime.toEpochMillis(yield* DateTime.now) + 86_400_000
      yield* record(failure("http_4xx"), lasting(100, ends))
      assert.deepInclude(yield* row(id), { lastErrorClass: null, failingSince: null, isSlow: false })
      assert.deepStrictEqual((yield* row(id))["certificateExpiresAt"], new Date(ends))
      yield* record({}, failure("http_4xx"))
      assert.deepInclude(yield* row(id), { lastErrorClass: "http_4xx", windowAttempts: 6, isSlow: false })
      yield* record(lasting(4_000, null))
      assert.deepInclude(yield* row(id), { lastErrorClass: null, windowAttempts: 7, isSlow: true })
      assert.deepStrictEqual((yield* row(id))["certificateExpiresAt"], new Date(ends), "one that was not seen anew")
    }))
})
