import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Option, Struct } from "effect"
import { randomUUID } from "node:crypto"
import type { ClientId, WebhookId } from "../../src/domain/Ids.ts"
import * as Latency from "../../src/domain/Latency.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import { StatsStore } from "../../src/persistence/StatsStore.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const tallies = (client: ClientId, webhook: WebhookId) =>
  Effect.gen(function*() {
    const store = yield* StatsStore
    const read = Option.getOrThrow(yield* store.read({ only: client }, webhook, "1h"))
    return read.tallies.map(Struct.omit("at")).toSorted((a, b) => a.outcome.localeCompare(b.outcome))
  })

/** Deliveries in hand, of a client of their own. */
const begin = (name: string, count: number) =>
  Effect.gen(function*() {
    yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM deliveries`)
    const client = yield* Rows.makeClient(name)
    const webhook = yield* Rows.makeWebhook(client, ["*"])
    yield* Effect.replicateEffect(Rows.publish(client, "deal.won"), count)
    return { client, webhook, claimed: yield* Rows.claim(count) }
  })

const took = (durationMs: number) => ({ exchange: { ...Rows.exchange(200), durationMs } })

layer(Stores.layer, Stores.options)("StatsStore", (it) => {
  it.effect("counts what was written, and nothing of an outcome whose lease had ended", () =>
    Effect.gen(function*() {
      const { claimed, client, webhook } = yield* begin("fenced", 3)
      const store = yield* DeliveryStore
      const [one, two, late] = claimed
      assert(one && two && late)
      const failed = {
        result: "failure_retryable",
        status: "failed_retryable",
        errorClass: "http_5xx",
        delayMs: 60_000
      } as const
      yield* store.record([
        yield* Rows.outcome(one, took(0)),
        yield* Rows.outcome(two, { ...failed, ...took(100) }),
        yield* Rows.outcome({ ...late, leaseToken: randomUUID() }, took(100))
      ])
      assert.deepStrictEqual(yield* tallies(client, webhook.id), [
        { outcome: "http_5xx", attempts: 1, retries: 0, rescheduled: 1, latencies: [...Array(13).fill(0), 1] },
        { outcome: "success", attempts: 1, retries: 0, rescheduled: 0, latencies: [1] }
      ])
      const { open } = Option.getOrThrow(
        yield* Effect.flatMap(StatsStore, (s) => s.read(Stores.everyone, webhook.id, "1h"))
      )
      assert.deepStrictEqual(open, { pending: 1, failedRetryable: 1 }, "one of them is under way")
    }))

  it.effect("batches that are written at once add up", () =>
    Effect.gen(function*() {
      const { claimed, client, webhook } = yield* begin("concurrent", 40)
      const store = yield* DeliveryStore
      yield* Effect.forEach(
        claimed,
        (delivery, i) => Effect.flatMap(Rows.outcome(delivery, took(i * 700)), (outcome) => store.record([outcome])),
        { concurrency: 8 }
      )
      const [tally] = yield* tallies(client, webhook.id)
      assert.strictEqual(tally?.attempts, 40)
      assert.strictEqual(Latency.quantile(tally?.latencies ?? [], 0.01), 0)
      assert.closeTo(Latency.quantile(tally?.latencies ?? [], 0.5) ?? 0, 14_000, 14_000 * 0.42)
    }))

  it.effect("durations fall into the classes that quantiles are read from", () =>
    Effect.gen(function*() {
      const around = Latency.bounds.flatMap((bound) => [bound - 1, bound])
      const { claimed, client, webhook } = yield* begin("classes", around.length)
      const outcomes = yield* Effect.forEach(claimed, (delivery, i) => Rows.outcome(delivery, took(around[i] ?? 0)))
      yield* Effect.flatMap(DeliveryStore, (store) => store.record(outcomes))
      const [tally] = yield* tallies(client, webhook.id)
      const expected = Array.from({ length: Latency.bounds.length + 1 }, (_, index) =>
        around.filter((ms) => Latency.bounds.filter((bound) => bound <= ms).length === index).length)
      assert.deepStrictEqual(tally?.latencies, expected)
    }))

  it.effect("there are none of a webhook that there is not, or is another client's", () =>
    Effect.gen(function*() {
      const { client, webhook } = yield* begin("mine", 0)
      const stranger = yield* Rows.makeClient("stranger")
      const store = yield* StatsStore
      assert.isTrue(Option.isSome(yield* store.read({ only: client }, webhook.id, "24h")))
      assert.isTrue(Option.isNone(yield* store.read({ only: stranger }, webhook.id, "24h")))
    }))
})
