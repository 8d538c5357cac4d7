/** What a case measured, as a table in Markdown: medians, with the lowest and the highest, and ratios within the rounds. */
import type { Case, Column, Row, Values } from "./Trial.ts"

/** The value below which this share of them lies; NaN of none. */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.round((sorted.length - 1) * share)] ?? Number.NaN
}

export const markdown = (one: Case, rows: ReadonlyArray<Row>): string => {
  const [reference] = rows
  const [first] = one.columns
  const columns = one.columns.filter(({ key }) => rows.some((row) => valuesOf(row, key).some((value) => value !== 0)))
  const head = [
    "",
    ...columns.map(({ title }) => title),
    one.lessIsBetter ? `this ÷ ${reference?.name}` : `${reference?.name} ÷ this`
  ]
  return [
    head,
    ["---", ...columns.map(() => "---:"), "---:"],
    ...rows.map((row) => [
      row.name,
      ...columns.map((column) => cell(row, column)),
      reference === undefined ? "" : spread(ratios(reference, row, first.key, one.lessIsBetter), 2)
    ])
  ].map((cells) => `| ${cells.join(" | ")} |`).join("\n")
}

/** One trial in a line. */
export const brief = ({ columns }: Case, values: Values): string =>
  columns.filter(({ key }) => values[key] !== undefined && values[key] !== 0)
    .map(({ digits, key, title }) => `${title} ${number(values[key] ?? Number.NaN, digits)}`).join(", ")

export const valuesOf = ({ rounds }: Row, key: string): ReadonlyArray<number> =>
  rounds.flatMap((values) => {
    const value = values?.[key]
    return value === undefined || Number.isNaN(value) ? [] : [value]
  })

/**
 * How many times better the reference is. In each round, so that a machine that was slower for a while was so for both.
 */
const ratios = (reference: Row, row: Row, key: string, lessIsBetter: boolean): ReadonlyArray<number> =>
  row.rounds.flatMap((values, round) => {
    const [own, other] = [values?.[key], reference.rounds[round]?.[key]]
    return own === undefined || other === undefined ? [] : [lessIsBetter ? own / other : other / own]
  })

const cell = (row: Row, { digits, key }: Column): string => spread(valuesOf(row, key), digits)

const spread = (values: ReadonlyArray<number>, digits: number): string => {
  if (values.length === 0) return "–"
  const median = number(quantile(values, 0.5), digits)
  return values.length === 1
    ? median
    : `${median} (${number(quantile(values, 0), digits)}–${number(quantile(values, 1), digits)})`
}

export const number = (value: number, digits: number): string =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
