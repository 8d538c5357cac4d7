/**
 * The hand-over from publishers and Scheduler to Dispatcher: who has a delivery in hand waits here for its turn, and a
 * worker for whose turn it is. It takes what the Bulkhead has places for; what is due beyond that stays in Postgres. What
 * is still in it at the end goes back, unsent.
 *
 * There is a worker for each place, so one waits for nearly every delivery. Waiting in a Queue of Effect's costs the
 * interpreter two dozen steps and a Deferred; waiting here costs it none.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { WebhookId } from "../domain/Ids.ts"
import type { ClaimedDelivery } from "../persistence/Claim.ts"
import { DeliveryStore } from "../persistence/DeliveryStore.ts"
import { Turns } from "./Turns.ts"

/** A delivery that this node may send until its lease ends. */
export interface LeasedDelivery {
  readonly delivery: ClaimedDelivery
  /** Nanoseconds of the monotonic clock. Counted from before the claim, so it is never later than the database's end. */
  readonly leaseEndsAt: bigint
  /** It came from a publish of this node, not from a claim. */
  readonly isFresh: boolean
}

export class DeliveryQueue extends Context.Tag("deeper-hub-webhooks/runtime/DeliveryQueue")<DeliveryQueue, {
  /** The next whose turn it is. Where there is none, null: `woken` is called when there is, once. A plain step. */
  readonly next: (woken: () => void) => LeasedDelivery | null
  /** It is not called any more. */
  readonly leave: (woken: () => void) => void
  readonly offerAll: (deliveries: ReadonlyArray<LeasedDelivery>) => Effect.Effect<void>
  /** What came of an attempt decides how the next of its webhook waits. A plain step: it ends every attempt. */
  readonly remember: (webhook: WebhookId, isDelivered: boolean) => void
  readonly depth: Effect.Effect<number>
  /** Of these, those that were claimed and wait for nothing but others before them. */
  readonly inLine: Effect.Effect<number>
  /** How many fresh ones wait for nothing but others before them. A plain step: it is asked at every turn of the loop. */
  readonly freshInLine: () => number
  /** Whether a fresh one came within so many milliseconds. */
  readonly hadFreshWithin: (ms: number) => Effect.Effect<boolean>
  /** What waits goes back, unsent, to be due again. */
  readonly giveBack: Effect.Effect<void>
}>() {
  static readonly layer = Layer.scoped(this, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const store = yield* DeliveryStore
  const ready: Array<LeasedDelivery> = []
  /** Workers that wait. The one that began last is first: few are at work at a time, and what those leave behind dies young. */
  const waiting: Array<() => void> = []

  const turns = new Turns<LeasedDelivery>((delivery) => {
    ready.push(delivery)
    waiting.pop()?.()
  })

  /** Nanoseconds of the monotonic clock; null where none came yet. */
  let latestFreshAt: bigint | null = null

  const giveBack = Effect.suspend(() => release(store, [...ready.splice(0), ...turns.giveUp()]))

  yield* Effect.addFinalizer(() => giveBack)
  return DeliveryQueue.of({
    next: (woken) => {
      const next = ready.shift()
      if (next === undefined) waiting.push(woken)
      return next ?? null
    },
    leave: (woken) => {
      const at = waiting.lastIndexOf(woken)
      if (at >= 0) waiting.splice(at, 1)
    },
    offerAll: (deliveries) =>
      Effect.map(Clock.currentTimeNanos, (now) => {
        for (const one of deliveries) turns.add(one, { webhookId: one.delivery.webhookId, isFresh: one.isFresh })
        if (deliveries.some(({ isFresh }) => isFresh)) latestFreshAt = now
      }),
    remember: (webhook, isDelivered) => turns.remember(webhook, isDelivered),
    depth: Effect.sync(() => ready.length + turns.size),
    inLine: Effect.sync(() => ready.length + turns.inLine),
    freshInLine: () => turns.freshInLine,
    hadFreshWithin: (ms) =>
      Effect.map(
        Clock.currentTimeNanos,
        (now) => latestFreshAt !== null && now - latestFreshAt <= BigInt(ms) * 1_000_000n
      ),
    giveBack
  })
})

const release = (store: DeliveryStore["Type"], unsent: ReadonlyArray<LeasedDelivery>) =>
  unsent.length === 0 ? Effect.void : store.release(unsent.map(({ delivery }) => delivery)).pipe(
    Effect.zipRight(Effect.logInfo("unsent deliveries given back", { count: unsent.length })),
    Effect.catchTag(
      "PersistenceError",
      (error) => Effect.logWarning("unsent deliveries are due again when their leases end", error)
    )
  )

/** Milliseconds that are left of a lease; both in nanoseconds of the monotonic clock. */
export const remainingMs = (leaseEndsAt: bigint, now: bigint): number => Number((leaseEndsAt - now) / 1_000_000n)
