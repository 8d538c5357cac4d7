/** What every drill is: a run that takes minutes, measures, and holds what it found against its goals. */
import { Console, Effect, Random } from "effect"

/** One line of the table. Where there is a goal, `met` says whether it was reached. */
export interface Finding {
  readonly what: string
  readonly found: string
  readonly goal?: string
  readonly met?: boolean
}

export interface Drill<R> {
  readonly name: string
  readonly goal: string
  readonly run: Effect.Effect<ReadonlyArray<Finding>, never, R>
}

export const progress = (text: string) => Console.error(`  … ${text}`)

/** Prints the table; true where every goal was reached. */
export const perform = <R>({ goal, name, run }: Drill<R>, seed: number) =>
  Effect.gen(function*() {
    yield* Console.log(`\n${name} (seed ${seed}): ${goal}`)
    const findings = yield* Effect.withRandom(run, Random.make(seed))
    yield* Console.log(table(findings))
    const missed = findings.filter(({ met }) => met === false)
    yield* Console.log(missed.length === 0 ? `${name}: every goal reached` : `${name}: ${missed.length} goal(s) missed`)
    return missed.length === 0
  })

const mark = ({ met }: Finding): string => met === undefined ? " " : met ? "✓" : "✗"

const table = (findings: ReadonlyArray<Finding>): string => {
  const [what, found] = [width(findings.map((one) => one.what)), width(findings.map((one) => one.found))]
  return findings
    .map((one) => `${mark(one)} ${one.what.padEnd(what)}  ${one.found.padStart(found)}  ${one.goal ?? ""}`.trimEnd())
    .join("\n")
}

const width = (texts: ReadonlyArray<string>): number => Math.max(0, ...texts.map((text) => text.length))
