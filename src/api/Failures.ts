/** Turns what no handler declares into a problem: requests that do not decode, unknown routes, bugs. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import { RouteNotFound } from "@effect/platform/HttpServerError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { Conflict, Forbidden, Invalid, NotFound, TooLarge } from "../domain/Refusal.ts"
import { PersistenceError } from "../persistence/Postgres.ts"
import * as Explanation from "./Explanation.ts"
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
  if (error instanceof HttpApiDecodeError) return Explanation.of(error)
  if (error instanceof RouteNotFound) {
    return new NoRoute({ message: `There is no ${error.request.method} ${pathOf(error.request.url)}. See /docs.` })
  }
  return new Internal()
}

const pathOf = (url: string): string => url.split("?", 1)[0] ?? url
