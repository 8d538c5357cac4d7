/** What every drill is: a run that takes minutes, measures, and holds what it found against its goals. */
import { Cause, Console, Effect, Random } from "effect"
import type { Finding } from "./Finding.ts"
import type { Tally } from "./Oracle.ts"

/** What the books of a drill came to; absent where a drill keeps none. */
interface Summary extends Tally {
  /** What was waited for after a blow, in words; the seconds of the slowest time. */
  readonly recovery?: { readonly of: string; readonly worstSeconds: number }
}

export interface Report {
  readonly findings: ReadonlyArray<Finding>
  readonly summary?: Summary
}

/** `full` is the drill of the goals; `short` shows in a minute that drill and service work. */
export type Length = "full" | "short"

export interface Drill<R> {
  readonly name: string
  readonly goal: string
  readonly run: (length: Length) => Effect.Effect<Report, never, R>
}

export interface Performance {
  readonly name: string
  readonly report: Report
  readonly missed: ReadonlyArray<string>
}

export const progress = (text: string) => Console.error(`  … ${text}`)

/** Prints the table. A drill that dies has missed its goal, and does not keep the others from being done. */
export const perform = <R>({ goal, name, run }: Drill<R>, length: Length, seed: number) =>
  Effect.gen(function*() {
    yield* Console.log(`\n${name} (seed ${seed}): ${goal}`)
    const report = yield* Effect.withRandom(run(length), Random.make(seed)).pipe(
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause) ? Effect.failCause(cause) : Effect.succeed(brokenOff(cause))
      )
    )
    yield* Console.log(table(report.findings))
    const missed = missedOf(report)
    yield* Console.log(missed.length === 0 ? `${name}: every goal reached` : `${name}: ${missed.length} goal(s) missed`)
    const performance: Performance = { name, report, missed }
    return performance
  })

/** In words, for whoever has to be told. */
export const missedOf = ({ findings }: Report): ReadonlyArray<string> =>
  findings.filter(({ met }) => met === false).map(({ found, goal, what }) => `${what}: ${found}, not ${goal}`)

const brokenOff = (cause: Cause.Cause<unknown>): Report => ({
  findings: [{ what: "the drill broke off", found: Cause.pretty(cause), goal: "an end", met: false }]
})

const mark = ({ met }: Finding): string => met === undefined ? " " : met ? "✓" : "✗"

const table = (findings: ReadonlyArray<Finding>): string => {
  const [what, found] = [width(findings.map((one) => one.what)), width(findings.map((one) => one.found))]
  return findings
    .map((one) => `${mark(one)} ${one.what.padEnd(what)}  ${one.found.padStart(found)}  ${one.goal ?? ""}`.trimEnd())
    .join("\n")
}

const width = (texts: ReadonlyArray<string>): number => Math.max(0, ...texts.map((text) => text.length))

/** What all drills came to, in Markdown. */
export const summarise = (performances: ReadonlyArray<Performance>): string =>
  [
    "| Drill | Accepted | Delivered | Failed | Waiting | Duplicates | Lost | Recovery, at worst | Goals |",
    "|---|---:|---:|---:|---:|---:|---:|---|---|",
    ...performances.map(summaryLine)
  ].join("\n")

const summaryLine = ({ missed, name, report: { summary } }: Performance): string => {
  const counts = summary === undefined
    ? Array<string>(6).fill("–")
    : [summary.accepted, summary.delivered, summary.failed, summary.waiting, summary.duplicates, summary.lost]
      .map((count) => count.toLocaleString("en"))
  const recovery = summary?.recovery === undefined
    ? "–"
    : `${summary.recovery.worstSeconds.toFixed(1)} s ${summary.recovery.of}`
  return `| ${
    [`\`${name}\``, ...counts, recovery, missed.length === 0 ? "all" : `${missed.length} missed`].join(" | ")
  } |`
}
