/** The first column of each case as bars: the median, and a line from the lowest to the highest. SVG, nothing else needed. */
import type { Performed } from "./Performance.ts"
import * as Table from "./Table.ts"
import type { Row } from "./Trial.ts"

const width = 900
const labelWidth = 270
const barWidth = width - labelWidth - 130
const lineHeight = 22
const headHeight = 44

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const text = (x: number, y: number, words: string, more = ""): string =>
  `<text x="${x}" y="${y}"${more}>${escaped(words)}</text>`

/** Ours, what it is measured against, what limits it. */
const colourOf = (name: string): string =>
  /^(in-process|http)/.test(name) ? "#2563eb" : name.startsWith("raw") ? "#9ca3af" : "#f59e0b"

const bar = (row: Row, key: string, digits: number, top: number, most: number): string => {
  const values = Table.valuesOf(row, key)
  const [low, median, high] = [0, 0.5, 1].map((share) => Table.quantile(values, share))
  const label = text(labelWidth - 8, top + 15, row.name, ` text-anchor="end"`)
  if (low === undefined || median === undefined || high === undefined || values.length === 0) {
    return label + text(labelWidth + 4, top + 15, "failed")
  }
  const x = (value: number) => Math.round(labelWidth + value / most * barWidth)
  return [
    label,
    `<rect x="${labelWidth}" y="${top + 3}" width="${Math.max(1, x(median) - labelWidth)}" height="16" fill="${
      colourOf(row.name)
    }"/>`,
    `<line x1="${x(low)}" x2="${x(high)}" y1="${top + 11}" y2="${top + 11}" stroke="#111827" stroke-width="2"/>`,
    text(x(high) + 6, top + 15, Table.number(median, digits))
  ].join("\n")
}

const panel = ({ of, rows }: Performed, top: number): string => {
  const [{ digits, key, title }] = of.columns
  const most = Math.max(...rows.flatMap((row) => Table.valuesOf(row, key)), Number.MIN_VALUE)
  return [
    text(8, top + 28, `${of.name}: ${title}`, ` font-weight="bold"`),
    ...rows.map((row, i) => bar(row, key, digits, top + headHeight + i * lineHeight, most))
  ].join("\n")
}

export const svg = (heading: string, performed: ReadonlyArray<Performed>): string => {
  let top = 24
  const panels = performed.map((one) => {
    const at = top
    top += headHeight + one.rows.length * lineHeight
    return panel(one, at)
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${
      top + 16
    }" font-family="sans-serif" font-size="13">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    text(8, 18, heading, ` font-size="11" fill="#6b7280"`),
    ...panels,
    "</svg>\n"
  ].join("\n")
}
