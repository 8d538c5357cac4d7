/**
 * The CRM's story in a terminal, with real parts only: the service on a Postgres of its own, two HTTP receivers, the
 * HTTP API. It ends well only if everything that should have arrived did, as it was published, and nothing else.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as App from "../App.ts"
import * as FirstBoot from "../FirstBoot.ts"
import { Supervisor } from "../runtime/Supervisor.ts"
import * as StartFailure from "../StartFailure.ts"
import * as Board from "./Board.ts"
import * as CrmClient from "./CrmClient.ts"
import * as Day from "./Day.ts"
import * as Interruption from "./Interruption.ts"
import * as Judge from "./Judge.ts"
import * as Ledger from "./Ledger.ts"
import * as Logs from "./Logs.ts"
import * as Mishaps from "./Mishaps.ts"
import * as Reception from "./Reception.ts"
import { bold, dim, green, Screen } from "./Screen.ts"
import * as Settings from "./Settings.ts"
import * as Story from "./Story.ts"
import { wantedBy } from "./Subscribers.ts"
import * as Summary from "./Summary.ts"
import * as TemporaryDirectory from "./TemporaryDirectory.ts"

export interface DemoOptions {
  readonly seed: number
  /** Seconds that the simulated business day takes. */
  readonly day: number
  /** Seconds after which the whole of it is given up. */
  readonly limit: number
}

export class DemoFailed extends Data.TaggedError("DemoFailed")<{ readonly message: string }> {}

export const demo = (options: DemoOptions) =>
  Effect.gen(function*() {
    const started = yield* Clock.currentTimeMillis
    const { isLive, say } = yield* Screen
    const story = yield* Story.make(options.seed)
    yield* say()
    yield* say(bold("  Deeper Hub Webhooks"), dim("  a day of a CRM, in "), `${options.day} s`)
    yield* say()
    const trouble = yield* perform(story, options, started).pipe(
      Effect.onInterrupt(() => say("\n  Stopped early. The service has ended, and its database is removed."))
    )
    const state = yield* Ledger.read
    const elapsedMs = (yield* Clock.currentTimeMillis) - started
    yield* say()
    yield* Effect.forEach(Summary.summary(state, story, { elapsedMs, isLive }), (line) => say(...line))
    const findings = yield* Day.findings(story)
    if (trouble !== null || !Judge.isClean(findings)) return yield* failed(trouble, findings)
    yield* say()
    yield* say(
      green("  ✔ "),
      "Everything that should have arrived did, exactly as published and signed. Nothing else came."
    )
    yield* say()
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.merge(Ledger.Ledger.layer, Screen.layer)),
    // Stopped early is not done: an interruption alone would end the process with 0.
    Effect.onInterrupt(() => Effect.dieMessage("stopped before the end of the story"))
  )

const failed = (trouble: string | null, findings: Judge.Findings) =>
  new DemoFailed({
    message: ["✘ The day did not go well.", ...(trouble === null ? [] : [`  ${trouble}`]), ...Judge.describe(findings)]
      .join("\n")
  })

/** The service's whole life, from its empty directory to its end; null, or what went wrong with the performance. */
const perform = (story: ReadonlyArray<Story.StoryEvent>, options: DemoOptions, started: number) =>
  Effect.gen(function*() {
    const { say } = yield* Screen
    yield* Interruption.onlyOnce
    const dataDirectory = yield* TemporaryDirectory.make
    const plan = yield* Mishaps.plan(options.seed, story.filter(({ eventType }) => wantedBy(eventType).length > 0))
    const receivers = { steady: yield* Reception.open(new Map()), flaky: yield* Reception.open(plan) }
    const ports = [receivers.steady.port, receivers.flaky.port]
    yield* say(dim("  Receivers   "), `127.0.0.1:${ports[0]}, and a flaky one on 127.0.0.1:${ports[1]}`)
    yield* say(dim("  Database    "), `a Postgres of its own in ${dataDirectory}`)
    yield* service(story, options, receivers, started).pipe(
      Effect.withConfigProvider(Settings.make({ dataDirectory, ports })),
      Logs.collected
    )
  }).pipe(
    Effect.scoped,
    Effect.raceFirst(Interruption.whenHungUp),
    Effect.timeoutOption(options.limit * 1_000),
    Effect.map(Option.match({ onNone: () => `Time is up after ${options.limit} s.`, onSome: () => null })),
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.failCause(cause)
        : Effect.succeed(StartFailure.explain(cause))
    )
  )

/** With the service running: from the first key to the last delivery. */
const service = (
  story: ReadonlyArray<Story.StoryEvent>,
  options: DemoOptions,
  receivers: Day.Receivers,
  started: number
) =>
  Effect.gen(function*() {
    const { say } = yield* Screen
    const base = yield* HttpServer.addressWith((address) =>
      Effect.succeed(address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : address.path)
    )
    const key = yield* Effect.flatten(FirstBoot.FirstOperator)
    const client = yield* CrmClient.make(base, key)
    yield* say(dim("  Service     "), `${base}, with a fresh operator key`)
    yield* Day.register(client, receivers)
    yield* say(dim("  Webhooks    "), "registered over the API: deal.*, proposal.accepted, and both")
    yield* Day.observe(client)
    const moment = Effect.map(Clock.currentTimeMillis, (now) => ({ story, elapsedMs: now - started }))
    yield* Effect.forkScoped(showAlways(moment))
    yield* Day.publish(client, story, options.day * 1_000).pipe(
      Effect.zipRight(Day.settle(client, story)),
      Effect.raceFirst(Effect.flatMap(Supervisor, (supervisor) => supervisor.watch))
    )
    yield* show(moment)
  }).pipe(Effect.scoped, Effect.provide([App.layer, NodeHttpClient.layer]))

/** A board that is redrawn, or a line now and then. */
const showAlways = (moment: Effect.Effect<Board.Moment>) =>
  Effect.gen(function*() {
    const { isLive, say } = yield* Screen
    const tell = Effect.gen(function*() {
      yield* say(...Board.line(yield* Ledger.read, yield* moment))
    })
    yield* isLive
      ? Effect.repeat(show(moment), Schedule.spaced("100 millis"))
      : Effect.schedule(tell, Schedule.spaced("2 seconds"))
  })

const show = (moment: Effect.Effect<Board.Moment>) =>
  Effect.gen(function*() {
    const { draw } = yield* Screen
    yield* draw(Board.board(yield* Ledger.read, yield* moment))
  })
