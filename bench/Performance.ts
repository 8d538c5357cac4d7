/** A case is performed: its trials take turns, so that what else the machine does meets all of them alike. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { Arguments } from "./Arguments.ts"
import { entries, type Entry } from "./Contenders.ts"
import { Failure } from "./Failure.ts"
import * as PeersInstalled from "./PeersInstalled.ts"
import * as Redis from "./Redis.ts"
import * as Table from "./Table.ts"
import type { Case, Row, Trial, Values } from "./Trial.ts"

export interface Performed {
  readonly of: Case
  readonly rows: ReadonlyArray<Row>
  readonly failures: ReadonlyArray<string>
}

const progress = (text: string) => Console.error(`  … ${text}`)

export const perform = (one: Case, options: Arguments) =>
  Effect.gen(function*() {
    const { only, rounds } = options
    yield* Console.log(`\n${one.name}: ${one.about}`)
    const named = entries.filter(({ name }) => one.contenders.includes(name) && (only?.includes(name) ?? true))
    const chosen = yield* Effect.filter(named, isPossible)
    const trials = yield* one.trials(chosen, options)
    const rows: ReadonlyArray<Row> = trials.map(({ name }) => ({ name, rounds: [] }))
    const failures: Array<string> = []
    for (let round = 0; round < rounds; round++) {
      // Another one begins each time: nobody always comes after the same neighbour.
      for (let i = 0; i < trials.length; i++) {
        const at = (i + round) % trials.length
        const [trial, row] = [trials[at], rows[at]]
        if (trial === undefined || row === undefined) continue
        row.rounds.push(yield* attempt(one, trial, round, failures))
      }
    }
    yield* Console.log(Table.markdown(one, rows))
    const performed: Performed = { of: one, rows, failures }
    return performed
  }).pipe(Effect.scoped)

/** What cannot be had is said, and the others are measured. */
const isPossible = ({ isPeer = false, name, needsRedis = false }: Entry) =>
  Effect.gen(function*() {
    if (isPeer) yield* PeersInstalled.ensure
    if (needsRedis && (yield* Redis.program) === null) return yield* Redis.missing
    return true
  }).pipe(Effect.catchTag("Failure", ({ message }) => Effect.as(progress(`${name} is left out: ${message}`), false)))

/** One that fails does not keep the others from being measured. */
const attempt = (one: Case, { name, run }: Trial, round: number, failures: Array<string>) =>
  Effect.scoped(run).pipe(
    Effect.catchAllDefect((defect) =>
      new Failure({ problem: String(defect), advice: "That is a fault of the benchmark: mend it" })
    ),
    Effect.tap((values) => progress(`${one.name}, round ${round + 1}, ${name}: ${Table.brief(one, values)}`)),
    Effect.map((values): Values | null => values),
    Effect.catchTag("Failure", ({ message }) => {
      failures.push(`${one.name}, ${name}: ${message}`)
      return Effect.as(progress(`${one.name}, round ${round + 1}, ${name} FAILED: ${message}`), null)
    })
  )
