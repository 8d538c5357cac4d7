/**
 * The numbered cases of faults are the contract: each has a test whose title begins with its number, alone (`B17 …`), in
 * a range (`C22–C25 …`) or in a list of these (`C22–C25, E35 …`).
 */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const directory = fileURLToPath(new URL(".", import.meta.url))

/** A section's letter with the first and the last of its cases. */
const sections = [
  ["A", 1, 13],
  ["B", 14, 21],
  ["C", 22, 27],
  ["D", 28, 34],
  ["E", 35, 48],
  ["F", 49, 55],
  ["G", 56, 63],
  ["H", 64, 71],
  ["I", 72, 74],
  ["J", 75, 78],
  ["K", 79, 82],
  ["L", 83, 86],
  ["M", 87, 91]
] as const

const covered = "ABCDEFKL"

const numbersBetween = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i)

const casesOf = ([letter, first, last]: (typeof sections)[number]) =>
  numbersBetween(first, last).map((number) => `${letter}${number}`)

const one = "[A-M]\\d{1,2}(?:–[A-M]\\d{1,2})?"
const title = new RegExp(`(?<=["'\`])${one}(?:, ${one})*(?= \\S)`, "g")

/** The cases that the titles in a test's source begin with. */
const named = (source: string): ReadonlyArray<string> =>
  Array.from(source.matchAll(title), ([cases]) => cases).flatMap((cases) => cases.split(", ")).flatMap((range) => {
    const [first = "", last = first] = range.split("–")
    return numbersBetween(Number(first.slice(1)), Number(last.slice(1))).map((number) => `${first[0]}${number}`)
  })

const sources = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) =>
  name.endsWith(".test.ts")
)

const everywhere = sources.flatMap((file) =>
  named(readFileSync(join(directory, file), "utf8")).map((name) => ({ file, name }))
)

describe("numbered cases", () => {
  it("are read from titles alone, in ranges and in lists", () => {
    const quoted = (text: string) => JSON.stringify(text)
    assert.deepStrictEqual(named(quoted("C22–C24, E35 no answer")), ["C22", "C23", "C24", "E35"])
    assert.deepStrictEqual(named("`B17 ${what}: blocked`"), ["B17"])
    assert.deepStrictEqual(named(`${quoted("not B17 here")}, ${quoted("B17")} B17 there`), [])
  })

  for (const name of sections.filter(([letter]) => covered.includes(letter)).flatMap(casesOf)) {
    it(`${name.slice(0, 1)} ${name.slice(1)} has a test that names it`, () => {
      assert.isTrue(everywhere.some((found) => found.name === name))
    })
  }

  it("carry the letter of their section wherever they are named", () => {
    const known = new Set(sections.flatMap(casesOf))
    assert.deepStrictEqual(everywhere.filter(({ name }) => !known.has(name)), [])
  })
})
