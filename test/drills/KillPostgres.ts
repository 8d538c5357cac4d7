/** H64: Postgres is killed, or shut down and started again, under a node that is at work. */
import { Clock, Effect, type Scope } from "effect"
import { type Drill, type Length, progress, type Report } from "./Drill.ts"
import * as Finding from "./Finding.ts"
import * as Load from "./Load.ts"
import * as Node from "./Node.ts"
import * as Oracle from "./Oracle.ts"
import * as PostgresServer from "./PostgresServer.ts"
import * as Reception from "./Reception.ts"

interface Sizes {
  /** Of each kind. */
  readonly outages: number
  readonly deliveriesPerOutage: number
  readonly deliveringSecondsMax: number
}

const sizes: Record<Length, Sizes> = {
  full: { outages: 10, deliveriesPerOutage: 5_000, deliveringSecondsMax: 10 },
  // Its bound ends what hangs, and does not measure a machine that is busy with other things.
  short: { outages: 1, deliveriesPerOutage: 500, deliveringSecondsMax: 30 }
}

const kinds = [["kill -9", "SIGKILL"], ["restart", "SIGINT"]] as const

const run = (length: Length) =>
  Effect.gen(function*() {
    const { deliveriesPerOutage, deliveringSecondsMax, outages } = sizes[length]
    const postgres = yield* PostgresServer.make
    const reception = yield* Reception.make({ slowMs: [50, 500] })
    const node = yield* Node.start(yield* Node.place(postgres.url), "drill")
    yield* Load.register(node.api, reception)
    const load = yield* Load.make({ target: Effect.succeed(node) })

    let worstSeconds = 0
    for (let turn = 1; turn <= outages; turn++) {
      for (const [kind, signal] of kinds) {
        const back = yield* load.publishUnder(
          deliveriesPerOutage,
          Effect.zipRight(postgres.end(signal), Clock.currentTimeMillis)
        )
        yield* Oracle.settle(postgres.url, load, reception, "3 minutes")
        const seconds = yield* Node.deliveringAfter(postgres.url, back)
        worstSeconds = Math.max(worstSeconds, seconds)
        yield* progress(
          `${kind} ${turn}/${outages}: delivering ${seconds.toFixed(1)} s after it was back; ` +
            `${load.promised.size} promised`
        )
      }
    }

    const { findings, tally } = yield* Oracle.judge(postgres.url, load, reception)
    const refusals = load.answered.filter(({ status }) => status === 503)
    const report: Report = {
      findings: [
        ...findings,
        Oracle.duplicates(tally),
        { what: "kills and restarts of Postgres", found: String(2 * outages) },
        Finding.atMost("slowest to deliver once it was back", worstSeconds, deliveringSecondsMax),
        { what: "requests answered 503", found: String(refusals.length) },
        Finding.none("of these without Retry-After", refusals.filter(({ retryAfter }) => retryAfter === null).length),
        { what: "requests that were not answered", found: String(yield* load.unanswered) },
        yield* Node.actorsUnhurt(node),
        yield* Node.stop(node)
      ],
      summary: { ...tally, recovery: { of: "after Postgres was back", worstSeconds } }
    }
    return report
  }).pipe(Effect.orDie)

export const drill: Drill<Scope.Scope> = {
  name: "kill-postgres",
  goal: "Postgres killed and restarted under load loses nothing, and the node carries on without a crash",
  run
}
