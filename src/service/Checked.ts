/** Inputs of the program around us: checked as those of the HTTP API are, and refused the same way; plain answers. */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { EventTypeName } from "../domain/EventType.ts"
import { ClientId } from "../domain/Ids.ts"
import * as Json from "../domain/Json.ts"
import { Invalid } from "../domain/Refusal.ts"

/** Checks a value against the typed side of a schema; `path` is where the program gave it. */
export const by = <A, I>(path: string, schema: Schema.Schema<A, I>) => {
  const validate = Schema.validateEither(schema, { errors: "all", onExcessProperty: "error" })
  return (input: unknown): Either.Either<A, Invalid> =>
    Either.mapLeft(validate(input), (error) => {
      const issues = ParseResult.ArrayFormatter.formatErrorSync(error).map((issue) => ({
        path: [path, ...issue.path.map(String)].filter((part) => part !== "").join("."),
        code: "invalid_value",
        message: issue.message
      }))
      const [first = { path, code: "invalid_value", message: error.message }, ...rest] = issues
      return new Invalid({ issues: [first, ...rest] })
    })
}

export const clientId = by("clientId", ClientId)
export const eventType = by("eventType", EventTypeName)
const jsonObject = by("payload", Json.JsonObject)

/** A plain JavaScript object as the JSON object that it stands for. */
export const payload = (value: Readonly<Record<string, unknown>>) =>
  Either.flatMap(
    Either.mapLeft(Json.fromUnknown(value), ({ code, message }) => Invalid.one("payload", code, message)),
    // What was made of it is JSON: it is left to say that it is an object.
    (json) => Json.isObject(json) ? Either.right(json) : jsonObject(json)
  )

export const page = by(
  "page",
  Schema.Struct({ limit: Schema.Int.pipe(Schema.between(1, 200)), after: Schema.NullOr(Schema.UUID) })
)
