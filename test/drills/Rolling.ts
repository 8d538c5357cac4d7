/** G61: nodes are stopped and started again one after the other, as in every deployment. */
import { Duration, Effect, type Scope } from "effect"
import { type Drill, type Length, progress, type Report } from "./Drill.ts"
import * as Finding from "./Finding.ts"
import * as Load from "./Load.ts"
import * as Node from "./Node.ts"
import * as Oracle from "./Oracle.ts"
import * as PostgresServer from "./PostgresServer.ts"
import * as Reception from "./Reception.ts"
import * as RoundRobin from "./RoundRobin.ts"

interface Sizes {
  readonly nodes: readonly [string, ...Array<string>]
  readonly restarts: number
  readonly perSecond: number
  readonly exitSecondsMax: number
}

const sizes: Record<Length, Sizes> = {
  // What an attempt may take by default, and ten seconds.
  full: { nodes: ["drill-a", "drill-b", "drill-c"], restarts: 20, perSecond: 200, exitSecondsMax: 5 + 10 },
  // Its bound ends what hangs, and does not measure a machine that is busy with other things.
  short: { nodes: ["drill-a", "drill-b"], restarts: 2, perSecond: 60, exitSecondsMax: 60 }
}

const run = (length: Length) =>
  Effect.gen(function*() {
    const { exitSecondsMax, nodes: names, perSecond, restarts } = sizes[length]
    const postgres = yield* PostgresServer.make
    // Slow enough that every stop finds attempts under way.
    const reception = yield* Reception.make({ slowShare: 0.2, slowMs: [50, 2_000] })
    const nodes = yield* RoundRobin.start(yield* Node.place(postgres.url), names)
    yield* Load.register(nodes.any.api, reception)
    const load = yield* Load.make({ target: nodes.next })

    const codes: Array<number | null> = []
    let worstSeconds = 0
    const restart = (name: string) =>
      Effect.gen(function*() {
        const { inflight } = yield* reception.counts
        const [took, { code }] = yield* Effect.timed(nodes.get(name).kill("SIGTERM"))
        const seconds = Duration.toSeconds(took)
        codes.push(code)
        worstSeconds = Math.max(worstSeconds, seconds)
        yield* nodes.restart(name)
        yield* progress(
          `stop ${codes.length}/${restarts}, ${name}: ${inflight[name] ?? 0} requests under way, exit ${code} after ` +
            `${seconds.toFixed(1)} s; ${load.promised.size} promised`
        )
      })
    const turns = Array.from({ length: restarts }, (_, turn) => names[turn % names.length] ?? names[0])
    // It is under way before the first node is stopped, and goes on after the last one was started.
    const rolling = Effect.forEach(turns, (name) => Effect.delay(restart(name), "1 second"), { discard: true })
    yield* load.publishWhile(perSecond, Effect.zipLeft(rolling, Effect.sleep("1 second")))
    yield* Oracle.settle(postgres.url, load, reception, "3 minutes")

    const verdict = yield* Oracle.judge(postgres.url, load, reception)
    const { findings, tally } = verdict
    const report: Report = {
      findings: [
        ...findings,
        Oracle.allAccounted(verdict),
        Oracle.noDuplicates(tally),
        { what: `restarts, of ${names.length} nodes`, found: String(restarts) },
        Finding.none("exits with a code other than 0", codes.filter((code) => code !== 0).length),
        Finding.atMost("slowest exit", worstSeconds, exitSecondsMax),
        { what: "requests that the publisher repeated", found: String(yield* load.unanswered) },
        ...yield* Effect.forEach(nodes.all(), Node.actorsUnhurt)
      ],
      summary: { ...tally, recovery: { of: "to exit", worstSeconds } }
    }
    return report
  })

export const drill: Drill<Scope.Scope> = {
  name: "rolling",
  goal: "nodes stopped and started one after the other lose nothing and repeat nothing",
  run
}
