/**
 * Keeps the leases of what this node has in hand from running out under it: attempts that take long, and outcomes that
 * wait for a database that is away. Once a node has slept through a lease it is too late, and fencing sees to that.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { DeliveryId } from "../domain/Ids.ts"
import { DeliveryStore } from "../persistence/DeliveryStore.ts"
import type { Lease } from "../persistence/Leases.ts"
import { Supervisor } from "./Supervisor.ts"

interface Kept extends Lease {
  /** Nanoseconds of the monotonic clock at which it was leased, or prolonged last. */
  readonly since: bigint
}

export class LeaseKeeper extends Context.Tag("deeper-hub-webhooks/runtime/LeaseKeeper")<LeaseKeeper, {
  /**
   * From now on the lease is prolonged; `since` is now, in nanoseconds of the monotonic clock. A plain step: it is taken at
   * every attempt.
   */
  readonly keep: (lease: Lease, since: bigint) => void
  /** Their outcomes are written, or they were given back. */
  readonly drop: (ids: ReadonlyArray<DeliveryId>) => Effect.Effect<void>
  /** Leases that are kept. */
  readonly size: Effect.Effect<number>
}>() {
  static readonly layer = (options: { readonly leaseSeconds: number }) => Layer.scoped(this, make(options))
}

/** Leases of one statement. */
const batchMax = 1_000

/** Of a lease's time: past that it is prolonged, so that one failed try is not the end. */
const shareBefore = 1 / 3

const make = ({ leaseSeconds }: { readonly leaseSeconds: number }) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const supervisor = yield* Supervisor
    const kept = new Map<DeliveryId, Kept>()
    const intervalMs = leaseSeconds * 1_000 * shareBefore

    const prolongSome = (leases: ReadonlyArray<Kept>) =>
      Effect.gen(function*() {
        const since = yield* Clock.currentTimeNanos
        const standing = yield* store.prolong(leases, leaseSeconds)
        let lost = 0
        for (const { id, leaseToken } of leases) {
          if (kept.get(id)?.leaseToken !== leaseToken) continue
          if (standing.has(id)) kept.set(id, { id, leaseToken, since })
          else if (kept.delete(id)) lost++
        }
        if (lost > 0) yield* Effect.logWarning("leases ended before they were prolonged", { count: lost })
      })

    const round = Effect.gen(function*() {
      const now = yield* Clock.currentTimeNanos
      const old = Array.from(kept.values()).filter(({ since }) => Number(now - since) / 1e6 >= intervalMs / 2)
      for (let i = 0; i < old.length; i += batchMax) yield* prolongSome(old.slice(i, i + batchMax))
    }).pipe(
      Effect.catchTag("PersistenceError", (error) =>
        Effect.logWarning("leases not prolonged, the next round tries again", error)),
      Effect.withTracerEnabled(false)
    )

    yield* supervisor.supervise(
      "LeaseKeeper",
      Effect.repeat(round, Schedule.spaced(intervalMs)).pipe(Effect.zipRight(Effect.never))
    )

    return LeaseKeeper.of({
      keep: ({ id, leaseToken }, since) =>
        void kept.set(id, { id, leaseToken, since }),
      drop: (ids) =>
        Effect.sync(() => {
          for (const id of ids) {
            kept.delete(id)
          }
        }),
      size: Effect.sync(() => kept.size)
    })
  })
