/**
 * H67: the network to Postgres goes silent while every connection stays open, and later is slow and loses connections
 * now and then. The node stays alive, says 503 meanwhile, and carries on.
 */
import { Clock, Effect, Random, Ref, Schedule, Schema, type Scope } from "effect"
import type { Running } from "../support/Service.ts"
import * as TcpProxy from "../support/TcpProxy.ts"
import { type Drill, type Length, progress, type Report } from "./Drill.ts"
import * as Finding from "./Finding.ts"
import * as Load from "./Load.ts"
import * as Node from "./Node.ts"
import * as Oracle from "./Oracle.ts"
import * as PostgresServer from "./PostgresServer.ts"
import type { Answered } from "./Publisher.ts"
import * as Reception from "./Reception.ts"
import * as Sql from "./Sql.ts"

interface Sizes {
  readonly silentSeconds: number
  readonly slowSeconds: number
  readonly perSecond: number
}

const sizes: Record<Length, Sizes> = {
  full: { silentSeconds: 60, slowSeconds: 300, perSecond: 100 },
  short: { silentSeconds: 15, slowSeconds: 15, perSecond: 50 }
}

const queryTimeoutSeconds = 10
/** For timers of a busy event loop. */
const slackSeconds = 1
const deliveringSecondsMax = 10
/** There and back: 200 ms for each statement. */
const delayMs = 100
const resetEverySeconds = 5

/** How often it was asked, and how often it did not say 200. */
interface Probed {
  readonly asked: number
  readonly refused: number
}

/** Asks once a second for as long as the effect runs. */
const probing = <A, E, R>(node: Running, path: string, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const probed = yield* Ref.make<Probed>({ asked: 0, refused: 0 })
    const ask = Effect.orDie(node.api.send("GET", path)).pipe(
      Effect.flatMap(({ status }) =>
        Ref.update(probed, ({ asked, refused }) => ({ asked: asked + 1, refused: refused + (status === 200 ? 0 : 1) }))
      ),
      Effect.repeat(Schedule.spaced("1 second")),
      Effect.zipRight(Effect.never)
    )
    return [yield* Effect.raceFirst(effect, ask), yield* Ref.get(probed)] as const
  })

interface Outage {
  /** Epoch milliseconds. */
  readonly from: number
  readonly to: number
}

const lasting = (begin: Effect.Effect<void>, seconds: number, mend: Effect.Effect<void>) =>
  Effect.gen(function*() {
    const from = yield* Clock.currentTimeMillis
    yield* begin
    yield* Effect.sleep(`${seconds} seconds`)
    yield* mend
    const outage: Outage = { from, to: yield* Clock.currentTimeMillis }
    return outage
  })

const silent = (proxy: TcpProxy.TcpProxy, seconds: number) => lasting(proxy.silence, seconds, proxy.mend)

/** The seed says when connections are lost, and which. */
const slow = (proxy: TcpProxy.TcpProxy, seconds: number) => {
  const resets = Effect.gen(function*() {
    yield* Effect.sleep(`${yield* Random.nextRange(0.5, 2 * resetEverySeconds)} seconds`)
    yield* proxy.reset(yield* Random.next)
  })
  return Effect.raceFirst(lasting(proxy.delay(delayMs), seconds, proxy.mend), Effect.forever(resets))
}

/** What the API answered to those who asked in the silence, and no longer had a chance of being served. */
const silenceFindings = (answered: ReadonlyArray<Answered>, { from, to }: Outage): ReadonlyArray<Finding.Finding> => {
  const duringSilence = answered.filter(({ at, tookMs }) => at >= from && at + tookMs <= to)
  const unavailable = duringSilence.filter(({ retryAfter, status }) => status === 503 && retryAfter !== null)
  return [
    {
      what: "requests answered in the silence, 503 with Retry-After",
      found: `${duringSilence.length}, ${unavailable.length}`,
      goal: "some, and all of them",
      met: duringSilence.length > 0 && unavailable.length === duringSilence.length
    },
    {
      what: "slowest of these answers",
      found: `${(Math.max(0, ...duringSilence.map(({ tookMs }) => tookMs)) / 1_000).toFixed(1)} s`
    }
  ]
}

const deadlocks = "SELECT deadlocks::int AS value FROM pg_stat_database WHERE datname = current_database()"

const run = (length: Length) =>
  Effect.gen(function*() {
    const { perSecond, silentSeconds, slowSeconds } = sizes[length]
    const postgres = yield* PostgresServer.make
    const proxy = yield* TcpProxy.make(postgres.url)
    const reception = yield* Reception.make({ slowMs: [50, 500] })
    const node = yield* Node.start(
      yield* Node.place(proxy.url, { DATABASE_QUERY_TIMEOUT_SECONDS: String(queryTimeoutSeconds) }),
      "drill"
    )
    yield* Load.register(node.api, reception)
    // Every request is to be answered, however late.
    const load = yield* Load.make({ target: Effect.succeed(node), patience: "1 minute" })
    const under = <A>(outage: Effect.Effect<A>) =>
      load.publishWhile(perSecond, outage.pipe(Effect.delay("3 seconds"), Effect.zipLeft(Effect.sleep("5 seconds"))))

    const [[silence, ready], alive] = yield* probing(
      node,
      "/healthz",
      probing(node, "/readyz", under(silent(proxy, silentSeconds)))
    )
    yield* Oracle.settle(postgres.url, load, reception, "3 minutes")
    const afterSilence = yield* Node.deliveringAfter(postgres.url, silence.to)
    yield* progress(
      `${silentSeconds} s of silence: delivering ${afterSilence.toFixed(1)} s after it; ${load.promised.size} promised`
    )

    const [slowness, aliveToo] = yield* probing(node, "/healthz", under(slow(proxy, slowSeconds)))
    yield* Oracle.settle(postgres.url, load, reception, "3 minutes")
    const afterSlowness = yield* Node.deliveringAfter(postgres.url, slowness.to)
    yield* progress(
      `${slowSeconds} s of slowness: delivering ${afterSlowness.toFixed(1)} s after it; ${load.promised.size} promised`
    )

    const worstSeconds = Math.max(afterSilence, afterSlowness)
    const { findings, tally } = yield* Oracle.judge(postgres.url, load, reception)
    const report: Report = {
      findings: [
        ...findings,
        Oracle.duplicates(tally),
        Finding.atMost(
          "longest wait for an answer of Postgres",
          (yield* proxy.longestWaitMs) / 1_000,
          queryTimeoutSeconds + slackSeconds
        ),
        ...silenceFindings(load.answered, silence),
        Finding.none("requests that were not answered", yield* load.unanswered),
        Finding.none(
          `times of ${alive.asked + aliveToo.asked} that it was not alive`,
          alive.refused + aliveToo.refused
        ),
        {
          what: `times of ${ready.asked} that it said in the silence that it was not ready`,
          found: String(ready.refused)
        },
        Finding.none("deadlocks", yield* Effect.orDie(Sql.value(postgres.url, Schema.Int, deadlocks))),
        Finding.atMost("slowest to deliver once the network was back", worstSeconds, deliveringSecondsMax),
        yield* Node.actorsUnhurt(node),
        yield* Node.stop(node)
      ],
      summary: { ...tally, recovery: { of: "after the network was back", worstSeconds } }
    }
    return report
  })

export const drill: Drill<Scope.Scope> = {
  name: "database-blackhole",
  goal: "a silent and then a slow, lossy network to Postgres loses nothing and holds no query for longer than its time",
  run
}
