/**
 * What was read is remembered until its table changes.
 *
 * Every change is told to every node as it commits (migration 0020), and what was read of the table is forgotten, as is a
 * read that began before. A node remembers nothing while it cannot hear that. What it changes itself it forgets as the
 * commit returns, without waiting to hear of it. A connection whose other end is gone hears nothing and does not know:
 * `ageMaxMs` bounds that.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { TransactionConnection } from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import type { LazyArg } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type AtOnce, atOnce } from "./AtOnce.ts"
import * as OwnConnection from "./OwnConnection.ts"
import { afterCommit, PersistenceError } from "./Postgres.ts"

/** Those that tell of their changes. */
export type Table = "api_keys" | "clients" | "event_types"

const channel = "deeper_hub_webhooks_changed"

const bounds = { name: "changes", lockTimeoutMs: 5_000, statementTimeoutMs: 5_000 }

/** Of each memory; beyond it the oldest are forgotten. */
export const entriesMax = 10_000

/** For how long anything is remembered at most. */
export const ageMaxMs = 10_000

/** What was read of one table, by keys that the reader chooses. */
export interface Memory<A> {
  /**
   * The answer from memory, else the one that `lookup` finds; all who ask for a key at once share one look-up. `keptMs`
   * says for how long after its beginning the answer may be kept, 0 for not at all, and should say so where there is
   * nothing: absent keys are without number. Inside a transaction the database is asked, since it may have changed there.
   */
  readonly read: (
    key: string,
    lookup: LazyArg<Effect.Effect<A, PersistenceError>>,
    keptMs: (answer: A) => number
  ) => AtOnce<A, PersistenceError>
}

export class ReadCache extends Context.Tag("deeper-hub-webhooks/persistence/ReadCache")<ReadCache, {
  readonly open: <A>(table: Table) => Effect.Effect<Memory<A>>
  /** Makes a change of the table, and forgets what was read of it when that is committed. */
  readonly forgetting: (table: Table) => <A, E, R>(change: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** While it runs, what is read is remembered. Fails when the listening connection is lost. */
  readonly listen: Effect.Effect<never, PersistenceError>
}>() {
  static readonly layer = Layer.scoped(this, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const pg = yield* PgClient.PgClient
  const scope = yield* Effect.scope
  const memories: Array<{ readonly table: Table; readonly forget: () => void }> = []
  let hears = false

  const forget = (table: string) => {
    for (const memory of memories) if (memory.table === table) memory.forget()
  }
  const turn = (hearing: boolean) =>
    Effect.sync(() => {
      for (const memory of memories) memory.forget()
      hears = hearing
    })

  return ReadCache.of({
    open: <A>(table: Table) =>
      Effect.sync(() => {
        const { forget, ...memory } = makeMemory<A>(scope, () => hears)
        memories.push({ table, forget })
        return memory
      }),
    forgetting: (table) => afterCommit(() => forget(table)),
    listen: Effect.gen(function*() {
      const connection = yield* OwnConnection.acquire(pg, bounds)
      yield* connection.onNotification(({ payload = "" }) => forget(payload))
      yield* connection.execute(`LISTEN ${channel}`)
      yield* Effect.acquireRelease(turn(true), () => turn(false))
      return yield* OwnConnection.lost(connection)
    }).pipe(Effect.scoped, PersistenceError.refail("ReadCache.listen"))
  })
})

interface Entry<A> {
  readonly answer: A
  /** On this node's monotonic clock. */
  readonly untilMs: number
}

const makeMemory = <A>(scope: Scope.Scope, hears: () => boolean): Memory<A> & { readonly forget: () => void } => {
  const entries = new Map<string, Entry<A>>()
  const lookups = new Map<string, Deferred.Deferred<A, PersistenceError>>()
  let generation = 0

  const keep = (key: string, entry: Entry<A>) => {
    entries.delete(key)
    entries.set(key, entry)
    if (entries.size <= entriesMax) return
    for (const oldest of entries.keys()) return entries.delete(oldest)
  }

  /** In a fiber of its own: whoever asked first may leave before the others have their answer. */
  const share = (key: string, lookup: Effect.Effect<A, PersistenceError>, keptMs: (answer: A) => number, now: number) =>
    Effect.uninterruptibleMask((restore) => {
      const begun = generation
      const shared = Deferred.unsafeMake<A, PersistenceError>(FiberId.none)
      lookups.set(key, shared)
      const kept = Effect.tap(lookup, (answer) =>
        Effect.sync(() => {
          const ms = Math.min(keptMs(answer), ageMaxMs)
          if (ms > 0 && generation === begun) keep(key, { answer, untilMs: now + ms })
        }))
      return restore(kept).pipe(
        Effect.onExit((exit) => {
          if (lookups.get(key) === shared) lookups.delete(key)
          return Deferred.done(shared, exit)
        }),
        Effect.forkIn(scope),
        Effect.zipRight(restore(Deferred.await(shared)))
      )
    })

  return {
    read: (key, lookup, keptMs) =>
      atOnce((fiber) => {
        const context = fiber.getFiberRef(FiberRef.currentContext)
        if (!hears() || Option.isSome(Context.getOption(context, TransactionConnection))) return lookup()
        const now = monotonicMs(Context.get(fiber.currentDefaultServices, Clock.Clock))
        const entry = entries.get(key)
        if (entry !== undefined && now < entry.untilMs) return Effect.succeed(entry.answer)
        const shared = lookups.get(key)
        return shared === undefined ? share(key, lookup(), keptMs, now) : Deferred.await(shared)
      }),
    forget: () => {
      generation += 1
      entries.clear()
      // Who asks from now on is not answered by a look-up that began before.
      lookups.clear()
    }
  }
}

/** Nobody sets it: only the one in milliseconds follows the machine's date. */
const monotonicMs = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1_000_000
