/**
 * What goes wrong, as RFC 9457 problem details. Handlers fail with the domain's errors; each schema here is one such
 * error on one side and its document on the other, with the status that goes with it.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Data from "effect/Data"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Refusal from "../domain/Refusal.ts"
import { PersistenceError } from "../persistence/Postgres.ts"

/** The body was no acceptable JSON: nothing in it was looked at. */
export class Malformed extends Data.TaggedError("Malformed")<{
  readonly code: string
  readonly message: string
}> {}

export class Unauthorized extends Data.TaggedError("Unauthorized")<{ readonly message: string }> {}

export class NoRoute extends Data.TaggedError("NoRoute")<{ readonly message: string }> {}

/** There is such a path, and it knows other methods. */
export class MethodNotAllowed extends Data.TaggedError("MethodNotAllowed")<{
  readonly message: string
  /** Those that it knows, as `Allow` lists them. */
  readonly allow: string
}> {}

/** The body did not come in time. */
export class RequestTimeout extends Data.TaggedError("RequestTimeout")<{ readonly message: string }> {}

/** This key asks too often, or everybody together asks more than the process can do at once. */
export class TooManyRequests extends Data.TaggedError("TooManyRequests")<{
  readonly code: "overloaded" | "rate_limited"
  readonly message: string
  /** After which to come back. */
  readonly retryAfterSeconds: number
}> {}

export class UnsupportedMedia extends Data.TaggedError("UnsupportedMedia")<{ readonly message: string }> {}

/** The process lives and cannot do its work now: send requests elsewhere. */
export class NotReady extends Data.TaggedError("NotReady")<{
  readonly code: "database_read_only" | "database_unreachable"
  readonly message: string
}> {}

/** A bug of ours. What it was stands in the log, not in the answer. */
export class Internal extends Data.TaggedError("Internal")<{}> {}

const Document = Schema.Struct({
  type: Schema.String.annotations({ examples: ["about:blank"] }),
  title: Schema.String,
  status: Schema.Int,
  code: Schema.String.annotations({ description: "Stable: made for programs." }),
  detail: Schema.String.annotations({ description: "Made for people: what was wrong, where, and what to do." }),
  errors: Schema.optional(Schema.Array(Schema.Struct({
    path: Schema.String,
    code: Schema.String,
    message: Schema.String
  })))
}).annotations({ identifier: "Problem", title: "Problem" })
type Document = typeof Document.Type

const problem = <E extends object, Args extends ReadonlyArray<never>>(
  kind: new(...args: Args) => E,
  status: number,
  title: string,
  describe: (error: E) => Pick<Document, "code" | "detail" | "errors">
): Schema.Schema<E, Document> =>
  Schema.transformOrFail(Document, Schema.declare((value): value is E => value instanceof kind), {
    strict: true,
    encode: (error) => ParseResult.succeed({ type: "about:blank", title, status, ...describe(error) }),
    decode: (document, _, ast) =>
      ParseResult.fail(new ParseResult.Forbidden(ast, document, "problems are only written"))
  }).annotations(HttpApiSchema.annotations({ status, description: title })).pipe(
    HttpApiSchema.withEncoding({ kind: "Json", contentType: "application/problem+json" })
  )

export const malformed = problem(Malformed, 400, "Bad request", ({ code, message }) => ({ code, detail: message }))

export const unauthorized = problem(Unauthorized, 401, "Unauthorized", ({ message }) => ({
  code: "unauthorized",
  detail: message
}))

export const forbidden = problem(Refusal.Forbidden, 403, "Forbidden", ({ message }) => ({
  code: "forbidden",
  detail: message
}))

export const notFound = problem(Refusal.NotFound, 404, "Not found", ({ message, resource }) => ({
  code: `${resource}_not_found`,
  detail: message
}))

export const noRoute = problem(
  NoRoute,
  404,
  "Not found",
  ({ message }) => ({ code: "route_not_found", detail: message })
)

export const methodNotAllowed = problem(MethodNotAllowed, 405, "Method not allowed", ({ message }) => ({
  code: "method_not_allowed",
  detail: message
}))

export const requestTimeout = problem(RequestTimeout, 408, "Request timeout", ({ message }) => ({
  code: "request_timeout",
  detail: message
}))

export const conflict = problem(Refusal.Conflict, 409, "Conflict", ({ code, message }) => ({ code, detail: message }))

export const tooLarge = problem(Refusal.TooLarge, 413, "Content too large", ({ code, message }) => ({
  code,
  detail: message
}))

export const unsupportedMedia = problem(UnsupportedMedia, 415, "Unsupported media type", ({ message }) => ({
  code: "unsupported_media_type",
  detail: message
}))

export const invalid = problem(Refusal.Invalid, 422, "Unprocessable content", ({ code, issues, message }) => ({
  code,
  detail: message,
  errors: issues
}))

export const tooManyRequests = problem(TooManyRequests, 429, "Too many requests", ({ code, message }) => ({
  code,
  detail: message
}))

export const internal = problem(Internal, 500, "Internal server error", () => ({
  code: "internal_error",
  detail: "This is a fault of the service. Its log says more; a repetition with the same Idempotency-Key is safe."
}))

export const notReady = problem(
  NotReady,
  503,
  "Service unavailable",
  ({ code, message }) => ({ code, detail: message })
)

export const unavailable = problem(PersistenceError, 503, "Service unavailable", () => ({
  code: "retry_same_key",
  detail: "The database does not answer. Whether this request took effect is unknown: repeat it with the same " +
    "Idempotency-Key after the time that Retry-After gives."
}))
