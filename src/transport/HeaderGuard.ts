/** Which headers of its own a webhook may have its deliveries carry. */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"

const HeaderProblem = Schema.Literal("header_invalid", "header_reserved", "header_limit")

export class HeaderRejected extends Schema.TaggedError<HeaderRejected>()("HeaderRejected", {
  code: HeaderProblem,
  /** The header's name as it was given; null where the headers together are too many or too long. */
  header: Schema.NullOr(Schema.String),
  /** One sentence for the webhook's owner, never with a value: values are credentials as a rule. */
  message: Schema.String
}) {}

const headersMax = 20
const headerValueBytesMax = 4_096
const headerBytesMax = 16_384
const headerNameLengthMax = 256

/** Those that frame the request, that we set, or that sign it: a second one would speak for us. */
const reserved = new Set([
  "accept-encoding",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "user-agent",
  "x-deeper_hub-signature",
  "x-delivery-id",
  "x-event-type",
  "x-previous-signature",
  "x-signature",
  "x-webhook-id"
])
const reservedPrefixes = ["proxy-", "webhook-"]

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** Latin-1 without control characters: each character is one byte on the wire. */
const value = /^[\t\u0020-\u007e\u0080-\u00ff]*$/

export const check = (headers: Readonly<Record<string, string>>): Either.Either<void, HeaderRejected> =>
  Either.gen(function*() {
    const entries = Object.entries(headers)
    if (entries.length > headersMax) {
      return yield* rejected("header_limit", null, `A webhook has at most ${headersMax} headers of its own.`)
    }
    const names = new Set<string>()
    for (const [name, text] of entries) {
      yield* checkHeader(name, text)
      if (names.has(name.toLowerCase())) {
        return yield* rejected(
          "header_invalid",
          name,
          `The header ${name} is there twice; case does not tell names apart.`
        )
      }
      names.add(name.toLowerCase())
    }
    const bytes = entries.reduce((sum, [name, text]) => sum + name.length + text.length, 0)
    if (bytes > headerBytesMax) {
      return yield* rejected("header_limit", null, `A webhook's headers are at most ${headerBytesMax} bytes together.`)
    }
  })

const rejected = (code: typeof HeaderProblem.Type, header: string | null, message: string) =>
  Either.left(new HeaderRejected({ code, header, message }))

const checkHeader = (name: string, text: string): Either.Either<void, HeaderRejected> => {
  if (!token.test(name) || name.length > headerNameLengthMax) {
    return rejected("header_invalid", null, "A header's name is not one that HTTP allows.")
  }
  const lower = name.toLowerCase()
  if (reserved.has(lower) || reservedPrefixes.some((prefix) => lower.startsWith(prefix))) {
    return rejected("header_reserved", name, `The header ${name} is set by the service itself.`)
  }
  if (!value.test(text)) {
    return rejected(
      "header_invalid",
      name,
      `The value of the header ${name} holds a character that HTTP does not allow.`
    )
  }
  return text.length > headerValueBytesMax
    ? rejected("header_limit", name, `The value of the header ${name} is longer than ${headerValueBytesMax} bytes.`)
    : Either.void
}
