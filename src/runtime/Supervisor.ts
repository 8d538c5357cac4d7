/**
 * One-for-one supervision. An actor lives in the scope of the layer that starts it. What it expects to go wrong it
 * handles itself, so only a bug reaches the supervisor: the actor is restarted after a jittered, growing pause, and when
 * it has used up ten restarts within a minute the whole process goes down rather than live on without it.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Metrics from "../telemetry/Metrics.ts"

export class ActorCrashed extends Data.TaggedError("ActorCrashed")<{
  readonly actor: string
  readonly cause: Cause.Cause<never>
}> {
  override get message() {
    return `${this.actor} crashed more than ${restartsMax} times within a minute: ${Cause.pretty(this.cause)}`
  }
}

export interface ActorState {
  readonly name: string
  readonly state: "running" | "restarting" | "stopped"
  /** Since the process began. */
  readonly restarts: number
  /** Those within the last minute: past `restartsMax` the process goes down. */
  readonly recentRestarts: number
  readonly lastCrash: { readonly at: number; readonly message: string } | null
  /** Unix milliseconds since when the state holds. */
  readonly since: number
}

export const restartsMax = 10
export const windowMs = 60_000

const pauses = Schedule.exponential("100 millis").pipe(
  // Ten restarts take some seconds: what cannot live is not kept half alive for long.
  Schedule.union(Schedule.spaced("1 second")),
  Schedule.jittered,
  Schedule.resetAfter("1 minute")
)

export class Supervisor extends Context.Tag("deeper-hub-webhooks/runtime/Supervisor")<Supervisor, {
  /** Forks the actor into the caller's scope and keeps it alive until that closes. */
  readonly supervise: <R>(
    name: string,
    actor: Effect.Effect<never, never, R>
  ) => Effect.Effect<void, never, R | Scope.Scope>
  /** Fails with the first actor that used up its restarts; waits for ever otherwise. */
  readonly watch: Effect.Effect<never, ActorCrashed>
  /** Every actor, in the order in which they were started. */
  readonly actors: Effect.Effect<ReadonlyArray<ActorState>>
}>() {
  static readonly layer = Layer.effect(this, Effect.suspend(() => make))
}

interface Record extends Omit<ActorState, "recentRestarts"> {
  /** When the last restarts were, within the window. */
  readonly recent: ReadonlyArray<number>
}

const restarts = (name: string) => Metric.tagged(Metrics.actorRestarts, "actor", name)

const make = Effect.gen(function*() {
  const exhausted = yield* Deferred.make<never, ActorCrashed>()
  const records = yield* Ref.make<ReadonlyMap<string, Record>>(new Map())

  const change = (name: string, f: (record: Record, now: number) => Record) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Ref.modify(records, (all) => {
        const blank: Record = { name, state: "running", restarts: 0, lastCrash: null, since: now, recent: [] }
        const changed = f(all.get(name) ?? blank, now)
        return [changed, new Map(all).set(name, changed)]
      }))

  const running = (name: string) => change(name, (record, now) => ({ ...record, state: "running", since: now }))

  const crashed = (name: string, cause: Cause.Cause<never>) =>
    Effect.gen(function*() {
      const { recent } = yield* change(name, (record, now) => ({
        ...record,
        state: "restarting",
        restarts: record.restarts + 1,
        lastCrash: { at: now, message: Cause.pretty(cause) },
        since: now,
        recent: [...record.recent.filter((at) => now - at < windowMs), now]
      }))
      yield* Effect.logError("actor crashed", cause)
      yield* Metric.increment(restarts(name))
      return recent.length <= restartsMax
    })

  return Supervisor.of({
    supervise: (name, actor) =>
      running(name).pipe(
        // That it has not crashed is to be seen, too: the first crash is a change then.
        Effect.zipRight(Metric.incrementBy(restarts(name), 0)),
        Effect.zipRight(actor),
        Effect.sandbox,
        Effect.catchAll((cause) => Effect.flatMap(crashed(name, cause), (again) => Effect.fail({ again, cause }))),
        Effect.retry({ schedule: pauses, while: ({ again }) => again }),
        Effect.catchAll(({ cause }) => Deferred.fail(exhausted, new ActorCrashed({ actor: name, cause }))),
        Effect.ensuring(change(name, (record, now) => ({ ...record, state: "stopped", since: now }))),
        Effect.annotateLogs({ actor: name }),
        Effect.forkScoped,
        Effect.asVoid
      ),
    watch: Deferred.await(exhausted),
    actors: Effect.zipWith(
      Ref.get(records),
      Clock.currentTimeMillis,
      (all, now) =>
        Array.from(all.values(), ({ recent, ...record }) => ({
          ...record,
          recentRestarts: recent.filter((at) => now - at < windowMs).length
        }))
    )
  })
})
