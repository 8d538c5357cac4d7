/** The command line of `npm run bench`. */
import * as Effect from "effect/Effect"
import { resolve } from "node:path"
import { entries } from "./Contenders.ts"
import { Failure } from "./Failure.ts"
import type { Case, Sizes } from "./Trial.ts"

export interface Arguments extends Sizes {
  readonly cases: ReadonlyArray<Case>
  readonly rounds: number
  /** Names of contenders; null for everybody. */
  readonly only: ReadonlyArray<string> | null
  /** Where results are written. */
  readonly out: string
}

const usage =
  "npm run bench -- [--quick] [--rounds N] [--seconds N] [--only contender,…] [--out folder] [--profile] [case…]"

const flags = new Set(["--quick", "--profile"])

/** The options that have a value, each with what it has to be. */
const valued: Readonly<Record<string, RegExp>> = {
  "--rounds": /^[1-9]\d{0,2}$/,
  "--seconds": /^[1-9]\d{0,2}$/,
  "--only": /^.+$/,
  "--out": /^.+$/
}

export const parse = (words: ReadonlyArray<string>, cases: ReadonlyArray<Case>): Effect.Effect<Arguments, Failure> =>
  Effect.gen(function*() {
    const values = new Map<string, string>()
    const names: Array<string> = []
    const set = new Set<string>()
    for (let i = 0; i < words.length; i++) {
      const word = words[i] ?? ""
      const pattern = valued[word]
      if (flags.has(word)) set.add(word)
      else if (pattern !== undefined) {
        const value = words[++i] ?? ""
        if (!pattern.test(value)) return yield* wrong(`${word} ${value} is not possible`, usage)
        values.set(word, value)
      } else if (word.startsWith("-")) return yield* wrong(`there is no option ${word}`, usage)
      else names.push(word)
    }
    const only = values.get("--only")?.split(",") ?? null
    const isQuick = set.has("--quick")
    const out = resolve(values.get("--out") ?? "bench/results")
    yield* allKnown("case", names, cases.map(({ name }) => name))
    yield* allKnown("contender", only ?? [], entries.map(({ name }) => name))
    return {
      cases: cases.filter(({ name }) => names.length === 0 || names.includes(name)),
      isQuick,
      rounds: Number(values.get("--rounds") ?? (isQuick ? 1 : 3)),
      seconds: Number(values.get("--seconds") ?? (isQuick ? 1 : 8)),
      only,
      out,
      profiles: set.has("--profile") ? out : null
    }
  })

const allKnown = (kind: string, given: ReadonlyArray<string>, known: ReadonlyArray<string>) => {
  const unknown = given.filter((name) => !known.includes(name))
  return unknown.length === 0
    ? Effect.void
    : wrong(`there is no ${kind} ${unknown.join(", ")}`, `There are ${known.join(", ")}`)
}

const wrong = (problem: string, advice: string) => Effect.fail(new Failure({ problem, advice }))
