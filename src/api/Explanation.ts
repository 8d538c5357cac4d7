/**
 * What is wrong with a request that does not fit its schema, said to somebody who knows the API and not how it is
 * written: one sentence a field, without names of our types, and never more than can be read.
 */
import type { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import { Invalid, type Issue as RefusalIssue } from "../domain/Refusal.ts"

type Issue = HttpApiDecodeError["issues"][number]

/** A request may be wrong in a hundred thousand places, and one place a megabyte long. */
const issuesMax = 100
const lengthMax = 500

export const of = ({ issues }: HttpApiDecodeError): Invalid => {
  const [first, ...rest] = byPlace(withoutAsides(issues)).slice(0, issuesMax).flatMap(explain).slice(0, issuesMax)
  return first === undefined
    ? Invalid.one("", "invalid_value", "The request does not fit its schema. See /docs.")
    : new Invalid({ issues: [first, ...rest] })
}

const placeOf = ({ path }: Issue): string => path.map(String).join(".")

/** Of a field that may be left out or null it is also said that this would have done: that is no news. */
const withoutAsides = (issues: ReadonlyArray<Issue>): ReadonlyArray<Issue> => {
  const isAside = ({ message }: Issue) => /^Expected (null|undefined), actual /.test(message)
  const explained = new Set<string>()
  for (const issue of issues) {
    if (isAside(issue)) continue
    for (let depth = 0; depth <= issue.path.length; depth++) {
      explained.add(placeOf({ ...issue, path: issue.path.slice(0, depth) }))
    }
  }
  return issues.filter((issue) => !isAside(issue) || !explained.has(placeOf(issue)))
}

const byPlace = (issues: ReadonlyArray<Issue>): ReadonlyArray<ReadonlyArray<Issue>> => {
  const places = new Map<string, Array<Issue>>()
  for (const issue of issues) {
    const place = placeOf(issue)
    const known = places.get(place)
    if (known === undefined) places.set(place, [issue])
    else known.push(issue)
  }
  return Array.from(places.values())
}

/** Where one of several words would have done, the platform complains once for each of them. */
const explain = (issues: ReadonlyArray<Issue>): ReadonlyArray<RefusalIssue> => {
  const words = issues.flatMap(({ message }) => literal.exec(message)?.[1] ?? [])
  const [first] = issues
  if (first === undefined || words.length < issues.length) return issues.map((issue) => said(issue, plain(issue)))
  const wanted = words.length === 1 ? words[0] : `one of ${words.join(", ")}`
  return [said(first, `expected ${wanted}${foundIn(first)}`)]
}

const literal = /^Expected ("[^"]*"), actual /

/** Of what kind it was, never what it was: a secret in the wrong place is not repeated. */
const foundIn = ({ message }: Issue): string => {
  const found = / actual ([^]*)$/.exec(message)?.[1] ?? ""
  const kind = kinds.find(([spelling]) => spelling.test(found))?.[1]
  return kind === undefined ? "" : `, found ${kind}`
}

const kinds: ReadonlyArray<readonly [RegExp, string]> = [
  [/^"/, "a text"],
  [/^-?\d/, "a number"],
  [/^\[/, "a list"],
  [/^(\{|<|\()/, "an object"],
  [/^true$/, "true"],
  [/^false$/, "false"],
  [/^null$/, "null"],
  [/^undefined$/, "nothing"]
]

const said = (issue: Issue, message: string): RefusalIssue => ({
  path: shortened(placeOf(issue)),
  code: codes[issue._tag] ?? "invalid_value",
  message: shortened(message)
})

const shortened = (text: string): string => text.length > lengthMax ? `${text.slice(0, lengthMax)}…` : text

const codes: Partial<Record<Issue["_tag"], string>> = { Missing: "missing_field", Unexpected: "unknown_field" }

const plain = (issue: Issue): string => {
  if (issue._tag === "Unexpected") return "There is no such field. See /docs for those there are."
  if (/^Unable to decode [^]* into a number$/.test(issue.message)) return "expected a number"
  const [, expected] = /^Expected ([^]*?), actual /.exec(issue.message) ?? []
  return expected === undefined ? issue.message : `expected ${inWords(expected)}${foundIn(issue)}`
}

/** The platform's name for what it expected; its own sentences, such as `a number between 1 and 200`, are fine. */
const inWords = (expected: string): string => {
  if (expected in names) return names[expected] ?? expected
  if (/^(ReadonlyArray<|readonly \[)/.test(expected)) return "a list"
  return /^an? [\w\s(),-]+$/.test(expected) ? expected : "an object"
}

const names: Readonly<Record<string, string>> = {
  boolean: "true or false",
  number: "a number",
  string: "a text",
  "an integer": "a whole number"
}
