/**
 * Contenders that take turns in one process, round after round, so that what else the machine does meets all of them
 * alike. What counts is each one's ratio to the first in the same round.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

export interface Contender<E, R> {
  readonly name: string
  /** Does its work once; it is repeated. */
  readonly run: Effect.Effect<unknown, E, R>
}

export interface Result {
  readonly name: string
  /** Per second, in each round. */
  readonly rates: ReadonlyArray<number>
}

export interface RoundsOptions {
  readonly rounds: number
  /** Repetitions of each contender in each round. */
  readonly times: number
  readonly concurrency: number
}

export const race = <E, R>(
  contenders: ReadonlyArray<Contender<E, R>>,
  { concurrency, rounds, times }: RoundsOptions
): Effect.Effect<ReadonlyArray<Result>, E, R> =>
  Effect.gen(function*() {
    const rates = new Map<string, Array<number>>(contenders.map(({ name }) => [name, []]))
    // The first round warms up caches and connections, and is not counted.
    for (let round = 0; round <= rounds; round++) {
      // Nobody always comes after the same neighbour.
      for (const { name, run } of yield* Random.shuffle(contenders)) {
        const before = yield* Clock.currentTimeNanos
        yield* Effect.replicateEffect(run, times, { concurrency, discard: true })
        const seconds = Number((yield* Clock.currentTimeNanos) - before) / 1e9
        if (round > 0) rates.get(name)?.push(times / seconds)
      }
    }
    return Array.from(rates, ([name, measured]) => ({ name, rates: measured }))
  })

/** The value below which this share of them lies. */
const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.round((sorted.length - 1) * share)] ?? 0
}

/** A line for each contender: what it did per second, and the ratio of that to the first one's. */
export const table = (title: string, results: ReadonlyArray<Result>): string => {
  const [first] = results
  const lines = results.map(({ name, rates }) => {
    const ratios = rates.map((rate, round) => rate / (first?.rates[round] ?? rate))
    return [
      name.padEnd(34),
      `${quantile(rates, 0.5).toFixed(0)} (${range(rates, 0, 1, 0)})`.padEnd(36),
      `${quantile(ratios, 0.5).toFixed(3)} (${range(ratios, 0.25, 0.75, 3)}; ${range(ratios, 0, 1, 3)})`
    ].join("  ")
  })
  const head = title.padEnd(34) + "  per second: median (lowest–highest)".padEnd(38) +
    "  of the first one's: median (middle half; lowest–highest)"
  return [head, ...lines].join("\n")
}

const range = (values: ReadonlyArray<number>, from: number, to: number, digits: number): string =>
  `${quantile(values, from).toFixed(digits)}–${quantile(values, to).toFixed(digits)}`
