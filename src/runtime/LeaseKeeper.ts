/**
 * Keeps the leases of what this node has in hand from running out under it: attempts that take long, and outcomes that
 * wait for a database that is away. Once a node has slept through a lease it is too late, and fencing sees to that.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { DeliveryStore } from "../persistence/DeliveryStore.ts"
import type { Lease } from "../persistence/Leases.ts"
import { Supervisor } from "./Supervisor.ts"

/** A lease that is kept until it is dropped. */
export interface Kept extends Lease {
  /** Nanoseconds of the monotonic clock at which it was leased, or prolonged last. */
  since: bigint
  isDropped: boolean
}

export class LeaseKeeper extends Context.Tag("deeper-hub-webhooks/runtime/LeaseKeeper")<LeaseKeeper, {
  /**
   * From now on the lease is prolonged; `since` is now, in nanoseconds of the monotonic clock. A plain step: it is taken at
   * every attempt.
   */
  readonly keep: (lease: Lease, since: bigint) => Kept
  /** Their outcomes are written, or they were given back. */
  readonly drop: (leases: ReadonlyArray<Kept>) => Effect.Effect<void>
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
    const kept = new AllKept()
    const intervalMs = leaseSeconds * 1_000 * shareBefore

    const prolongSome = (leases: ReadonlyArray<Kept>) =>
      Effect.gen(function*() {
        const since = yield* Clock.currentTimeNanos
        const standing = yield* store.prolong(leases, leaseSeconds)
        let lost = 0
        for (const lease of leases) {
          if (standing.has(lease.id)) lease.since = since
          else if (kept.drop(lease)) lost++
        }
        if (lost > 0) yield* Effect.logWarning("leases ended before they were prolonged", { count: lost })
      })

    const round = Effect.gen(function*() {
      const now = yield* Clock.currentTimeNanos
      const old = kept.all().filter(({ since }) => Number(now - since) / 1e6 >= intervalMs / 2)
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
        kept.add({ id, leaseToken, since, isDropped: false }),
      drop: (leases) => Effect.sync(() => leases.forEach((lease) => kept.drop(lease))),
      size: Effect.sync(() => kept.all().length)
    })
  })

/** A list from which what was dropped is taken out now and then, for the reason that CONTRIBUTING gives (8). */
class AllKept {
  #leases: Array<Kept> = []
  #dropped = 0

  add(lease: Kept): Kept {
    this.#leases.push(lease)
    return lease
  }

  /** Answers whether it was kept. */
  drop(lease: Kept): boolean {
    if (lease.isDropped) return false
    lease.isDropped = true
    this.#dropped += 1
    if (this.#dropped > this.#leases.length / 2) this.all()
    return true
  }

  all(): ReadonlyArray<Kept> {
    this.#leases = this.#leases.filter(({ isDropped }) => !isDropped)
    this.#dropped = 0
    return this.#leases
  }
}
