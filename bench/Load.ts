/** What is published, and how fast: as fast as it goes with so many under way, or so many a second whatever comes. */
// @effect-diagnostics globalTimers:off
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type { BenchEvent, Contender, Publish } from "./Contender.ts"
import { microseconds } from "./Monotonic.ts"

export interface Shape {
  /** They take turns. */
  readonly eventTypes: ReadonlyArray<string>
  /** Of the event as it is sent, more or less; at least 400. */
  readonly payloadBytes: number
}

export interface AsFastAsItGoes extends Shape {
  /** Publishers that wait for their answers at once, where the contender has no number of its own. */
  readonly inFlight: number
  readonly until: { readonly seconds: number } | { readonly events: number }
}

export interface Steady extends Shape {
  readonly perSecond: number
  readonly seconds: number
}

/** Moments are monotonic microseconds. */
export interface Published {
  readonly events: number
  /** Of these, the ones that the contender did not take; only of a steady load, elsewhere that ends the trial. */
  readonly refused: number
  readonly startedAt: number
  readonly endedAt: number
  /** How long each publisher waited for its answer; only of a steady load. */
  readonly answeredAfterUs: ReadonlyArray<number>
}

let serial = 0

/** `t` is the microsecond at which it was due. */
const makeEvent = ({ eventTypes, payloadBytes }: Shape, t: number): BenchEvent => {
  const n = serial++
  return {
    id: `evt_${String(n).padStart(12, "0")}`,
    type: eventTypes[n % eventTypes.length] ?? "",
    payload: {
      customer: "cus_9s6XKzkNRiz8i3",
      invoice: "in_1MtHbELkdIwHu7ixl4OzzPMv",
      amount: 129900,
      currency: "eur",
      lines: 3,
      n,
      note: "x".repeat(Math.max(0, payloadBytes - 250)),
      t
    }
  }
}

const makeEvents = (shape: Shape, count: number): ReadonlyArray<BenchEvent> =>
  Array.from({ length: count }, () => makeEvent(shape, microseconds()))

/** Whether there is more to publish, of a load that begins now. */
const makeGoesOn = ({ until }: AsFastAsItGoes): (events: number) => boolean => {
  if ("events" in until) return (events) => events < until.events
  const end = microseconds() + until.seconds * 1e6
  return () => microseconds() < end
}

export const asFastAsItGoes = ({ batch, publish, ...own }: Contender, load: AsFastAsItGoes) =>
  Effect.gen(function*() {
    const startedAt = microseconds()
    const goesOn = makeGoesOn(load)
    let events = 0
    yield* inLanes(publish, own.inFlight ?? load.inFlight, () => {
      if (!goesOn(events)) return null
      events += batch
      return makeEvents(load, batch)
    })
    const published: Published = { events, refused: 0, startedAt, endedAt: microseconds(), answeredAfterUs: [] }
    return published
  })

/** Each lane publishes what comes next once its last events are durable. */
const inLanes = (publish: Publish, lanes: number, next: () => ReadonlyArray<BenchEvent> | null) => {
  if (publish.kind === "promise") {
    const lane = async () => {
      for (let events = next(); events !== null; events = next()) await publish.run(events)
    }
    return Effect.promise(() => Promise.all(Array.from({ length: lanes }, lane)))
  }
  const lane = Effect.suspend(() => {
    let events = next()
    return Effect.whileLoop({
      while: () => events !== null,
      body: () => publish.run(events ?? []),
      step: () => events = next()
    })
  })
  return Effect.all(Array.from({ length: lanes }, () => lane), { concurrency: "unbounded", discard: true })
}

/** Event i is due at the i-th moment, whatever became of the others. */
export const steady = ({ publish }: Contender, load: Steady): Effect.Effect<Published> =>
  Effect.flatMap(Effect.runtime<never>(), (runtime) => {
    const runPromise = Runtime.runPromise(runtime)
    const send = (event: BenchEvent) =>
      publish.kind === "promise" ? publish.run([event]) : runPromise(publish.run([event]))
    return Effect.promise(() => paced(send, load))
  })

const paced = async (send: (event: BenchEvent) => Promise<unknown>, load: Steady): Promise<Published> => {
  const count = Math.floor(load.perSecond * load.seconds)
  const startedAt = microseconds()
  const answeredAfterUs: Array<number> = []
  const answers: Array<Promise<unknown>> = []
  while (answers.length < count) {
    const due = startedAt + answers.length * 1e6 / load.perSecond
    const early = due - microseconds()
    if (early > 1_000) {
      await new Promise((resolve) => setTimeout(resolve, early / 1_000))
      continue
    }
    const asked = microseconds()
    answers.push(send(makeEvent(load, Math.round(due))).then(() => answeredAfterUs.push(microseconds() - asked)))
  }
  const refused = (await Promise.allSettled(answers)).filter(({ status }) => status === "rejected").length
  return { events: count, refused, startedAt, endedAt: microseconds(), answeredAfterUs }
}
