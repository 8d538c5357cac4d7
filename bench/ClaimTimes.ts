/** How long the service's own claim takes on what lies in a database, and its walk from webhook to webhook. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomUUID } from "node:crypto"
import type { WebhookId } from "../src/domain/Ids.ts"
import { DeliveryStore } from "../src/persistence/DeliveryStore.ts"
import type { DueWebhooks } from "../src/persistence/DueWebhooks.ts"
import { claimMax } from "../src/runtime/Bulkhead.ts"
import type { DurablePostgres } from "./DurablePostgres.ts"
import { Failure } from "./Failure.ts"
import * as Planted from "./Planted.ts"
import { quantile } from "./Table.ts"

/** Milliseconds that it took, with its answer. */
const timed = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const before = yield* Clock.currentTimeNanos
    const answer = yield* self
    return [Number((yield* Clock.currentTimeNanos) - before) / 1e6, answer] as const
  })

/** All webhooks with something due, and how long each step to find them took. */
const walk = Effect.gen(function*() {
  const store = yield* DeliveryStore
  const times: Array<number> = []
  const webhooks: Array<WebhookId> = []
  let after: WebhookId | null = null
  do {
    const [took, found]: readonly [number, DueWebhooks] = yield* timed(store.dueWebhooks(after))
    times.push(took)
    webhooks.push(...found.webhooks)
    after = found.next
  } while (after !== null)
  return { times, webhooks }
})

/** Claims as the Scheduler does, the webhooks taking turns, and gives everything back. */
const claims = (webhooks: ReadonlyArray<WebhookId>, count: number) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const times: Array<number> = []
    const most = Math.floor(claimMax.deliveries / Math.min(webhooks.length, claimMax.webhooks))
    for (let i = 0; i < count; i++) {
      const from = i * claimMax.webhooks % webhooks.length
      const asking = webhooks.slice(from, from + claimMax.webhooks).map((webhookId) => ({ webhookId, most }))
      const [took, claimed] = yield* timed(
        store.claim({ webhooks: asking, leaseToken: randomUUID(), leaseSeconds: 300 })
      )
      times.push(took)
      yield* store.release(claimed)
    }
    return times
  })

export const measure = (database: DurablePostgres, count: number) =>
  Effect.gen(function*() {
    const { times: steps, webhooks } = yield* walk
    const times = yield* claims(webhooks, count)
    return {
      claimP50: quantile(times, 0.5),
      claimP99: quantile(times, 0.99),
      walkMax: quantile(steps, 1)
    }
  }).pipe(
    Effect.provide(DeliveryStore.layer.pipe(Layer.provide(Planted.connected(database)))),
    Effect.mapError((cause) =>
      new Failure({ problem: `The claim failed: ${cause.message}`, advice: "Mend that first" })
    )
  )
