/** Turns what no handler declares into a problem: requests that do not decode, bugs. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { Conflict, Forbidden, Invalid, NotFound, TooLarge } from "../domain/Refusal.ts"
import { PersistenceError } from "../persistence/Postgres.ts"
import * as AnswerHeaders from "./AnswerHeaders.ts"
import * as Explanation from "./Explanation.ts"
import {
  Internal,
  Malformed,
  MethodNotAllowed,
  NoRoute,
  NotReady,
  RequestTimeout,
  TooManyRequests,
  Unauthorized,
  UnsupportedMedia
} from "./Problem.ts"

const declared = [
  Conflict,
  Forbidden,
  Invalid,
  Malformed,
  MethodNotAllowed,
  NoRoute,
  NotFound,
  NotReady,
  PersistenceError,
  RequestTimeout,
  TooLarge,
  TooManyRequests,
  Unauthorized,
  UnsupportedMedia
] as const

/** What may be failed with anywhere beneath this layer. */
export type Declared = InstanceType<typeof declared[number]> | HttpApiDecodeError

/** For a middleware, which the platform believes to fail with nothing. */
export const leave = <A, R>(self: Effect.Effect<A, Declared, R>): Effect.Effect<A, never, R> =>
  self as Effect.Effect<A, never, R>

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
  const headers = headersOf(error)
  const announce = headers === undefined
    ? Effect.void
    : AnswerHeaders.tell(headers)
  return Effect.zipRight(Effect.zipRight(log, announce), Effect.fail(error as never))
}

/** Seconds after which to come back, where the fault is ours and passing. */
const retryAfter = "1"

/** What a problem says in a header, because clients and proxies look for it there. */
const headersOf = (error: unknown): Readonly<Record<string, string>> | undefined => {
  if (error instanceof Unauthorized) return { "www-authenticate": "Bearer" }
  if (error instanceof MethodNotAllowed) return { allow: error.allow }
  if (error instanceof TooManyRequests) return { "retry-after": String(error.retryAfterSeconds) }
  return error instanceof NotReady || error instanceof PersistenceError ? { "retry-after": retryAfter } : undefined
}

const recognise = (cause: Cause.Cause<unknown>): unknown => {
  const error = Cause.squash(cause)
  if (declared.some((kind) => error instanceof kind)) return error
  if (error instanceof HttpApiDecodeError) return Explanation.of(error)
  return new Internal()
}
