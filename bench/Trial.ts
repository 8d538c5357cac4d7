/** A case of the benchmark: trials that take turns, round after round, and the columns of what they measure. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Entry } from "./Contenders.ts"
import type { Failure } from "./Failure.ts"

/** What one trial measured, by the column's key. */
export type Values = Readonly<Record<string, number>>

export interface Trial {
  /** The row of the table that it belongs to. */
  readonly name: string
  readonly run: Effect.Effect<Values, Failure, Scope.Scope>
}

/** What a trial measured in each round; null for a round that failed. */
export interface Row {
  readonly name: string
  readonly rounds: Array<Values | null>
}

export interface Column {
  readonly key: string
  readonly title: string
  /** After the decimal point. */
  readonly digits: number
}

export interface Sizes {
  /** Seconds of one measurement, where a case is as long as one likes. */
  readonly seconds: number
  /** Small sizes, which show in seconds that everything works; their figures mean little. */
  readonly isQuick: boolean
  /** Where CPU profiles of the contenders are written; null for none. */
  readonly profiles: string | null
}

export interface Case {
  readonly name: string
  readonly about: string
  /** The first one is what the case is about: ratios and the plot show it. */
  readonly columns: readonly [Column, ...ReadonlyArray<Column>]
  /** Whether less of the first column is better: seconds are, deliveries are not. */
  readonly lessIsBetter: boolean
  /** Who may take part, by name. */
  readonly contenders: ReadonlyArray<string>
  /** What they share lasts as long as the case. */
  readonly trials: (
    entries: ReadonlyArray<Entry>,
    sizes: Sizes
  ) => Effect.Effect<ReadonlyArray<Trial>, Failure, Scope.Scope>
}
