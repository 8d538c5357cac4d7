/**
 * What a body may call itself: `application/json`, in UTF-8, as it is. A `…+json` type means something by its name that
 * we would not heed, so it is refused with the rest. A body without a type is taken for JSON.
 */
import * as Either from "effect/Either"
import type { IncomingHttpHeaders } from "node:http"
import { UnsupportedMedia } from "./Problem.ts"

export const refuse = (headers: IncomingHttpHeaders): Either.Either<void, UnsupportedMedia> => {
  // As nearly everybody writes it.
  if (headers["content-type"] === json && headers["content-encoding"] === undefined) return Either.void
  const [type, ...parameters] = (headers["content-type"] ?? json).split(";").map(normal)
  if (type !== json) return unsupported(`The body must be application/json, not ${type}.`)
  const charset = parameters.map((parameter) => /^charset\s*=\s*"?([^"]*)"?$/.exec(parameter)?.[1]).find(isNamed)
  if (charset !== undefined && charset !== "utf-8" && charset !== "utf8") {
    return unsupported(`The body must be in UTF-8, not ${charset}.`)
  }
  const encoding = normal(headers["content-encoding"] ?? "identity")
  return encoding === "identity"
    ? Either.void
    : unsupported(`The body must not be compressed; its Content-Encoding is ${encoding}.`)
}

const json = "application/json"

const normal = (text: string): string => text.trim().toLowerCase()

const isNamed = (charset: string | undefined): charset is string => charset !== undefined

const unsupported = (message: string) => Either.left(new UnsupportedMedia({ message }))
