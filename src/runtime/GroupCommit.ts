/**
 * Commits events in groups: all who publish while a commit is under way share the next one. Nobody waits for a group to
 * fill, so alone a publisher is as fast as the database; together they pay for one round trip and one flush to the disk. Only
 * where more is published than is sent do groups wait, for a moment, until that is less.
 * (DeWitt et al., "Implementation techniques for main memory database systems", 1984.)
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as RuntimeFlags from "effect/RuntimeFlags"
import type * as Tracer from "effect/Tracer"
import type { Committed, Stored } from "../persistence/Committed.ts"
import { EventStore } from "../persistence/EventStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import type { PublishRequest } from "../persistence/PublishRequest.ts"
import { Commit } from "../service/Commit.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Tracing from "../telemetry/Tracing.ts"
import * as Timer from "../transport/Timer.ts"
import * as FastLane from "./FastLane.ts"
import { Supervisor } from "./Supervisor.ts"

type Answer = Effect.Effect<Option.Option<Stored>, PersistenceError>

interface Pending {
  readonly request: PublishRequest
  /** The publisher's, where it is recorded. */
  readonly span: Tracer.AnySpan | null
  readonly answer: (answer: Answer) => void
  /** Who waits for the answer, where he may be interrupted. */
  readonly publisher: Fiber.RuntimeFiber<unknown, unknown> | null
}

/** Of one statement; a request that is larger has one of its own. */
const eventsMax = 500
const bytesMax = 4_194_304

/** Groups that are committed at once. */
const lanes = 2

/**
 * Publishers that wait beside a group that is being committed before there is a second one. Every statement costs database
 * and process as much as two dozen events do, so fewer are better off with the next; and a few that each bring many events
 * would be taken in faster than they can be sent. But nobody waits behind one that takes so long.
 */
const besideMin = 64
const besideAfterMs = 50

/** How long a group waits for what was published before it. */
const gatherMaxMs = 100

export const layer = (options: FastLane.FastLaneOptions) =>
  Layer.scoped(Commit, Effect.flatMap(FastLane.make(options), (fastLane) => make(fastLane)))

/** Where nothing is sent, nothing is leased. */
export const layerUnsent = Layer.scoped(Commit, Effect.suspend(() => make(FastLane.closed)))

/** The groups that are being committed, and whether another may begin beside them. */
class UnderWay {
  readonly #wake: () => void
  #groups = 0
  /** Whether the one that was begun last is taking long. */
  #isSlow = false

  constructor(wake: () => void) {
    this.#wake = wake
  }

  hasRoomFor(pending: ReadonlyArray<Pending>): boolean {
    return this.#groups === 0 || this.#isSlow || pending.length >= besideMin
  }

  /** Returns what to do at its end. */
  begin(): () => void {
    this.#groups += 1
    this.#isSlow = false
    const callOff = Timer.after(besideAfterMs, () => {
      this.#isSlow = true
      this.#wake()
    })
    return () => {
      this.#groups -= 1
      callOff()
      this.#wake()
    }
  }
}

const make = (fastLane: FastLane.FastLane) =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const supervisor = yield* Supervisor
    const write = makeWrite(store, fastLane)
    const gather = makeGather(fastLane)
    const pending: Array<Pending> = []
    const wake = () => {
      if (pending.length > 0) Queue.unsafeOffer(wakeups, undefined)
    }
    const underWay = new UnderWay(wake)

    const step = Effect.suspend(() => {
      if (!underWay.hasRoomFor(pending)) return Effect.void
      const group = takeGroup(pending)
      if (group.length === 0) return Effect.void
      const end = underWay.begin()
      // Another lane may take what is left, at once.
      wake()
      return Effect.zipRight(Metric.update(Metrics.intakeBatchSize, eventsOf(group)), write(group)).pipe(
        Effect.ensuring(Effect.sync(end))
      )
    })

    // What is left when the lanes are gone is written all the same.
    const wakeups = yield* Effect.acquireRelease(
      Queue.sliding<void>(1),
      (wakeups) => Effect.zipRight(Effect.repeat(step, { while: () => pending.length > 0 }), Queue.shutdown(wakeups))
    )

    const lane = Effect.forever(
      Effect.uninterruptibleMask((restore) =>
        restore(Queue.take(wakeups)).pipe(Effect.zipRight(gather), Effect.zipRight(step))
      )
    )
    yield* supervisor.supervise(
      "GroupCommit",
      // Where it was restarted, a wake-up may have gone to the one before.
      Effect.sync(wake).pipe(
        Effect.zipRight(Effect.all(Array.from({ length: lanes }, () => lane), { concurrency: lanes })),
        Effect.zipRight(Effect.never)
      )
    )

    const written = (request: PublishRequest): Answer =>
      Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
        const parent = Tracing.parentOf(fiber)
        const span = parent?.sampled === true ? parent : null
        const publisher = RuntimeFlags.interruptible(runtimeFlags) ? fiber : null
        // Being ready for an interruption costs more steps than all else here: who was interrupted is passed over instead.
        return Effect.async((resume) => {
          pending.push({ request, span, answer: resume, publisher })
          Queue.unsafeOffer(wakeups, undefined)
        })
      })

    const commit: Commit["Type"]["commit"] = (request) =>
      Effect.flatMap(
        written(request),
        Option.match({
          onSome: Effect.succeed,
          onNone: () =>
            Effect.flatMap(
              store.replay(request),
              Option.match({
                onSome: Effect.succeed,
                // The key expired and was swept between the two statements: it is free again.
                onNone: () => Effect.suspend(() => commit(request))
              })
            )
        })
      )
    return Commit.of({ commit })
  })

/**
 * Until the end of this turn of the event loop: whatever else comes in it comes along, of many connections what each of
 * them sent. While much that was published waits to be sent, the group waits, too: what more is taken in meanwhile would
 * have to be claimed, and read from the database again.
 */
const makeGather = ({ isBusy }: FastLane.FastLane): Effect.Effect<void> =>
  Effect.async((resume) => {
    const until = performance.now() + gatherMaxMs
    const look = (): void => {
      if (isBusy() && performance.now() < until) setImmediate(look)
      else resume(Effect.void)
    }
    setImmediate(look)
  })

/** Commits a group and answers all of it. */
const makeWrite = (store: EventStore["Type"], fastLane: FastLane.FastLane) => {
  const publish = (group: ReadonlyArray<Pending>) =>
    Effect.exit(fastLane.send(
      eventsOf(group),
      (offer) => withinSpans(group, store.publish(group.map(({ request }) => request), offer))
    ))

  /** Answers whether the request itself is what the statement dies of. */
  const writeAlone = (one: Pending) =>
    Effect.gen(function*() {
      const exit = yield* publish([one])
      settle([one], exit)
      const isItself = Exit.isFailure(exit) && Cause.isDie(exit.cause)
      if (isItself) yield* Effect.logError("a publish failed of a bug; its publisher knows", exit.cause)
      return isItself
    })

  return (group: ReadonlyArray<Pending>): Effect.Effect<void> =>
    Effect.flatMap(publish(group), (exit) => {
      if (Exit.isSuccess(exit) || !Cause.isDie(exit.cause)) return Effect.sync(() => settle(group, exit))
      // What one of them is to blame for befalls no other, and no number of them ends the process. A bug of ours does.
      const { cause } = exit
      return Effect.flatMap(Effect.forEach(group, writeAlone), (blamed) =>
        blamed.includes(true) ? Effect.void : Effect.die(Cause.squash(cause)))
    })
}

const settle = (group: ReadonlyArray<Pending>, exit: Exit.Exit<Committed, PersistenceError>): void => {
  const stored = Exit.isSuccess(exit) ? exit.value.stored : []
  for (const [i, { answer }] of group.entries()) answer(Exit.map(exit, () => stored[i] ?? Option.none()))
}

const eventsOf = (group: ReadonlyArray<Pending>): number =>
  group.reduce((sum, { request }) => sum + request.events.length, 0)

/** The statement belongs to the first trace of those it is for, and is linked from the others. */
const withinSpans = <A, E>(group: ReadonlyArray<Pending>, self: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  const [first, ...others] = group.flatMap(({ span }) => span ?? [])
  if (first === undefined) return self
  return Effect.withParentSpan(
    others.reduce((linked, span) => Effect.linkSpans(linked, span), self),
    first
  )
}

const isGone = ({ publisher }: Pending): boolean =>
  publisher !== null && !Cause.isEmpty(publisher.getFiberRef(FiberRef.interruptedCause))

/**
 * Takes out the oldest that fit one statement, and who is gone. Of those with one idempotency key, all but the first are for
 * a later one.
 */
const takeGroup = (pending: Array<Pending>): ReadonlyArray<Pending> => {
  const group: Array<Pending> = []
  const later: Array<Pending> = []
  const keys = new Set<string>()
  let seen = 0
  let events = 0
  let bytes = 0
  for (const one of pending) {
    const { clientId, events: more, idempotency } = one.request
    const key = idempotency === null ? null : `${clientId} ${idempotency.key}`
    if (key !== null && keys.has(key)) later.push(one)
    else if (!isGone(one)) {
      events += more.length
      for (const { body } of more) bytes += body.length
      if (group.length > 0 && (events > eventsMax || bytes > bytesMax)) break
      if (key !== null) keys.add(key)
      group.push(one)
    }
    seen += 1
  }
  // In place: as arguments of one call, those who wait may be more than the stack has room for.
  const taken = seen - later.length
  for (const [i, one] of later.entries()) pending[taken + i] = one
  pending.splice(0, taken)
  return group
}
