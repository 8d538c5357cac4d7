/** Hundreds of thousands of events through one node: whatever it keeps of each would show. */
import { Duration, Effect, type Scope } from "effect"
import { fileURLToPath } from "node:url"
import { eventually } from "../support/Eventually.ts"
import { type Drill, type Length, progress, type Report } from "./Drill.ts"
import type { Finding } from "./Finding.ts"
import * as Load from "./Load.ts"
import * as Node from "./Node.ts"
import * as Oracle from "./Oracle.ts"
import * as PostgresServer from "./PostgresServer.ts"
import type { Vitals } from "./probe.ts"
import * as Reception from "./Reception.ts"

interface Sizes {
  readonly eventsPerRound: number
  readonly rounds: number
  /** Before the first sample: what the runtime compiles and the pools open, they keep. */
  readonly warmUpRounds: number
  /** Of the heap, in MB per 100,000 events; a few thousand tell nothing of it. */
  readonly slopeMax: number | null
}

const sizes: Record<Length, Sizes> = {
  full: { eventsPerRound: 15_000, rounds: 18, warmUpRounds: 2, slopeMax: 5 },
  short: { eventsPerRound: 1_000, rounds: 4, warmUpRounds: 1, slopeMax: null }
}

/** One more or fewer of a pool, or of what a timer is about to end, is no growth. */
const growthMax = 8

interface Sample extends Vitals {
  readonly events: number
}

/** Of the straight line through the points that is nearest to them by least squares. */
export const slope = (points: ReadonlyArray<readonly [x: number, y: number]>): number => {
  const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [meanX, meanY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))]
  const covariance = mean(points.map(([x, y]) => (x - meanX) * (y - meanY)))
  return covariance / mean(points.map(([x]) => (x - meanX) ** 2))
}

const growth = (what: "sockets" | "fds" | "fibers", before: Vitals, after: Vitals): Finding => ({
  what: `${what} before / after`,
  found: `${before[what]} / ${after[what]}`,
  goal: `no more than ${growthMax} more`,
  met: after[what] <= before[what] + growthMax
})

const memoryFindings = (samples: ReadonlyArray<Sample>, slopeMax: number | null): ReadonlyArray<Finding> => {
  const [first, last] = [samples.at(0), samples.at(-1)]
  const slopeOf = (what: "heapMb" | "rssMb") =>
    slope(samples.map((sample) => [sample.events / 100_000, sample[what]] as const))
  const heap = slopeOf("heapMb")
  return [
    {
      what: "heap after collection, per 100,000 events",
      found: `${heap.toFixed(2)} MB`,
      ...slopeMax === null ? {} : { goal: `below ${slopeMax} MB`, met: heap < slopeMax }
    },
    { what: "RSS, per 100,000 events", found: `${slopeOf("rssMb").toFixed(2)} MB` },
    { what: "heap, first / last", found: `${first?.heapMb ?? 0} / ${last?.heapMb ?? 0} MB` },
    { what: "RSS, first / last", found: `${first?.rssMb ?? 0} / ${last?.rssMb ?? 0} MB` }
  ]
}

const run = (length: Length) =>
  Effect.gen(function*() {
    const { eventsPerRound, rounds, slopeMax, warmUpRounds } = sizes[length]
    const postgres = yield* PostgresServer.make
    const reception = yield* Reception.make({ slowShare: 0.002, slowMs: [10, 100] })
    const node = yield* Node.start(yield* Node.place(postgres.url), "drill", {
      preload: fileURLToPath(new URL("probe.ts", import.meta.url))
    })
    const vitals = Effect.map(node.ask("vitals"), (vitals) => vitals as Vitals)
    yield* Load.register(node.api, reception)
    const load = yield* Load.make({ target: Effect.succeed(node), patience: "30 seconds", fanOutShare: 0 })

    const samples: Array<Sample> = []
    const round = (turn: number) =>
      Effect.gen(function*() {
        const settled = Oracle.settle(postgres.url, load, reception, "10 minutes")
        const [took] = yield* Effect.timed(Effect.zipRight(load.publish(eventsPerRound), settled))
        const perSecond = Math.round(eventsPerRound / Duration.toSeconds(took))
        const sample: Sample = { ...yield* vitals, events: load.promised.size }
        if (turn > warmUpRounds) samples.push(sample)
        yield* progress(
          `round ${turn}/${warmUpRounds + rounds}: ${sample.events} events, ${perSecond}/s; ` +
            `heap ${sample.heapMb} MB, RSS ${sample.rssMb} MB, ${sample.fibers} fibers, ${sample.sockets} sockets`
        )
      })
    yield* Effect.forEach(Array.from({ length: warmUpRounds }, (_, i) => i + 1), round)
    const before = yield* vitals
    yield* Effect.forEach(Array.from({ length: rounds }, (_, i) => warmUpRounds + i + 1), round)
    // Connections to receivers end when they have been idle for some seconds.
    const isBack = ({ sockets }: Vitals) => sockets <= before.sockets
    const after = yield* Effect.orElse(eventually(vitals, isBack, "30 seconds"), () => vitals)

    const { findings, tally } = yield* Oracle.judge(postgres.url, load, reception)
    const report: Report = {
      findings: [
        ...findings,
        Oracle.noDuplicates(tally),
        ...memoryFindings(samples, slopeMax),
        growth("sockets", before, after),
        growth("fds", before, after),
        growth("fibers", before, after),
        yield* Node.actorsUnhurt(node),
        yield* Node.stop(node)
      ],
      summary: tally
    }
    return report
  })

export const drill: Drill<Scope.Scope> = {
  name: "soak",
  goal: "a node keeps nothing of the events that went through it",
  run
}
