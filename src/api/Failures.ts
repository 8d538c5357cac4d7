/** Turns what no handler declares into a problem: requests that do not decode, unknown routes, bugs. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import { RouteNotFound } from "@effect/platform/HttpServerError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { Conflict, Forbidden, Invalid, type Issue as RefusalIssue, NotFound, TooLarge } from "../domain/Refusal.ts"
import { PersistenceError } from "../persistence/Postgres.ts"
import { Internal, Malformed, NoRoute, Unauthorized, UnsupportedMedia } from "./Problem.ts"

const declared = [
  Conflict,
  Forbidden,
  Invalid,
  Malformed,
  NotFound,
  PersistenceError,
  TooLarge,
  Unauthorized,
  UnsupportedMedia
] as const

export const layer = HttpApiBuilder.middleware((app) =>
  Effect.catchAllCause(
    app,
    (cause) => Cause.isInterruptedOnly(cause) ? Effect.failCause(cause) : report(cause)
  )
)

/** What an answer leaves out stands in the log. */
const report = (cause: Cause.Cause<unknown>) => {
  const error = recognise(cause)
  const log = error instanceof Internal
    ? Effect.logError("a request failed for a fault of ours", cause)
    : error instanceof PersistenceError
    ? Effect.logWarning(`a request was not served: ${error.message}`)
    : Effect.void
  return Effect.zipRight(log, Effect.fail(error as never))
}

const recognise = (cause: Cause.Cause<unknown>): unknown => {
  const error = Cause.squash(cause)
  if (declared.some((kind) => error instanceof kind)) return error
  if (error instanceof HttpApiDecodeError) return undecodable(error)
  if (error instanceof RouteNotFound) {
    return new NoRoute({ message: `There is no ${error.request.method} ${pathOf(error.request.url)}. See /docs.` })
  }
  return new Internal()
}

const pathOf = (url: string): string => url.split("?", 1)[0] ?? url

const undecodable = ({ issues }: HttpApiDecodeError): Invalid => {
  const [first, ...rest] = withoutAsides(issues).slice(0, issuesMax).map(issueOf)
  return first === undefined
    ? Invalid.one("", "invalid_value", "The request does not fit its schema. See /docs.")
    : new Invalid({ issues: [first, ...rest] })
}

type Issue = HttpApiDecodeError["issues"][number]

/** A request may be wrong in a hundred thousand places, and one place a megabyte long. */
const issuesMax = 100
const messageLengthMax = 500

/** Of a field that may be left out or null it is also said that this would have done: that is no news. */
const withoutAsides = (issues: ReadonlyArray<Issue>): ReadonlyArray<Issue> => {
  const isAside = ({ message }: Issue) => /^Expected (null|undefined), actual /.test(message)
  const explained = new Set(issues.filter((issue) => !isAside(issue)).flatMap(pathsTo))
  return issues.filter((issue) => !isAside(issue) || !explained.has(pathIn(issue)))
}

/** Of the place that it is about, and of all that this lies in. */
const pathsTo = ({ path }: Issue): ReadonlyArray<string> =>
  Array.from({ length: path.length + 1 }, (_, depth) => path.slice(0, depth).map(String).join("."))

const pathIn = ({ path }: Issue): string => path.map(String).join(".")

const issueOf = (issue: Issue): RefusalIssue => ({
  path: pathIn(issue),
  code: codes[issue._tag] ?? "invalid_value",
  message: issue._tag === "Unexpected"
    ? "There is no such field. See /docs for those there are."
    : shortened(readable(issue.message))
})

/** Effect names its own types, and repeats what it found: neither is for the one who asks. */
const readable = (message: string): string => {
  const expected = /^Expected ([^]+?), actual /.exec(message)?.[1]
  if (expected === undefined) return message
  const kind = kinds.find(([spelling]) => spelling.test(expected))
  return `expected ${kind === undefined ? expected : kind[1]}`
}

const kinds: ReadonlyArray<readonly [RegExp, string]> = [
  [/^(readonly \[|ReadonlyArray<)/, "an array"],
  [/^(\{|JsonObject$|Struct \()/, "an object"],
  [/^number$/, "a number"],
  [/^string$/, "a string"],
  [/^boolean$/, "true or false"]
]

const shortened = (message: string): string =>
  message.length > messageLengthMax ? `${message.slice(0, messageLengthMax)}…` : message

const codes: Partial<Record<Issue["_tag"], string>> = { Missing: "missing_field", Unexpected: "unknown_field" }
