/**
 * Identifiers: TypeIDs (typeid spec 0.3, `<prefix>_<26 characters of Crockford base32>`) over UUIDv7 (RFC 9562),
 * so an id says what it names and sorts by the millisecond it was made in.
 *
 * Code handles the string form; Postgres stores the UUID. `toUuid` and `fromUuid` convert.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

const typeId = <const Prefix extends string, const Brand extends string>(prefix: Prefix, brand: Brand) =>
  Schema.String.pipe(
    // 26 × 5 bits are 130: the first character carries the top 3 bits, so it ends at 7.
    Schema.pattern(new RegExp(`^${prefix}_[0-7][${alphabet}]{25}$`), {
      message: () => `expected an id of the form ${prefix}_ followed by 26 characters`,
      arbitrary: () => (fc) => fc.uuid({ version: 7 }).map((uuid) => `${prefix}_${encode(uuid)}`)
    }),
    Schema.brand(brand),
    Schema.annotations({ identifier: brand, examples: [`${prefix}_01jmh2v3s8e5xt6dq4t9v0r1kz` as never] })
  )

export const WebhookId = typeId("whk", "WebhookId")
export type WebhookId = typeof WebhookId.Type

export const EventId = typeId("evt", "EventId")
export type EventId = typeof EventId.Type

export const DeliveryId = typeId("dlv", "DeliveryId")
export type DeliveryId = typeof DeliveryId.Type

export const AttemptId = typeId("att", "AttemptId")
export type AttemptId = typeof AttemptId.Type

export const AuditId = typeId("aud", "AuditId")
export type AuditId = typeof AuditId.Type

export const AlertId = typeId("alr", "AlertId")
export type AlertId = typeof AlertId.Type

export const KeyId = typeId("key", "KeyId")
export type KeyId = typeof KeyId.Type

/** The tenant. The operator chooses it, so it is a plain, printable string and no TypeID. */
export const ClientId = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/, {
    message: () => "expected 1 to 64 letters, digits, '.', '_', ':' or '-', beginning with a letter or digit"
  }),
  Schema.brand("ClientId"),
  Schema.annotations({ identifier: "ClientId", examples: ["default" as never] })
)
export type ClientId = typeof ClientId.Type

const prefixes = {
  AlertId: "alr",
  AttemptId: "att",
  AuditId: "aud",
  DeliveryId: "dlv",
  EventId: "evt",
  KeyId: "key",
  WebhookId: "whk"
} as const
/** The kinds of id, by name. */
export type Kinds = {
  AlertId: AlertId
  AttemptId: AttemptId
  AuditId: AuditId
  DeliveryId: DeliveryId
  EventId: EventId
  KeyId: KeyId
  WebhookId: WebhookId
}

/** A new id of the given kind, of the present millisecond. */
export const make = <K extends keyof Kinds>(kind: K): Effect.Effect<Kinds[K]> =>
  Effect.map(Clock.currentTimeMillis, (millis) => makeAt(kind, millis))

/** A new id of the given kind, of the given Unix millisecond. */
export const makeAt = <K extends keyof Kinds>(kind: K, millis: number): Kinds[K] => fromUuid(kind, uuidV7(millis))

/** The UUID inside an id. */
export const toUuid = (id: Kinds[keyof Kinds]): string => decode(id.slice(id.indexOf("_") + 1))

/** The id of a kind that holds a UUID. */
export const fromUuid = <K extends keyof Kinds>(kind: K, uuid: string): Kinds[K] =>
  `${prefixes[kind]}_${encode(uuid)}` as Kinds[K]

/** Unix milliseconds at which an id was made: the 48 bits of its UUIDv7 that come first are its first ten characters. */
export const madeAt = (id: Kinds[keyof Kinds]): number => {
  const start = id.indexOf("_") + 1
  let millis = 0
  for (let i = start; i < start + 10; i++) millis = millis * 32 + (base32Values[id.charCodeAt(i)] ?? 0)
  return millis
}

/** RFC 9562 UUIDv7: 48 bits of Unix milliseconds, then the 74 random bits that a UUIDv4 has in the same places. */
export const uuidV7 = (millis: number): string => {
  const time = millis.toString(16).padStart(12, "0")
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`
}

// An event's ids are converted a dozen times on its way: digit by digit, in a third of the time that BigInt takes.

const hexDigits = "0123456789abcdef"
const hexValue = (code: number): number => code <= 57 ? code - 48 : (code | 32) - 87

const base32Values = new Uint8Array(128)
for (let i = 0; i < alphabet.length; i++) base32Values[alphabet.charCodeAt(i)] = i

const encode = (uuid: string): string => {
  let text = ""
  let bits = 0
  // 26 × 5 bits are two more than a UUID has: zeros in front.
  let held = 2
  for (let i = 0; i < uuid.length; i++) {
    const code = uuid.charCodeAt(i)
    if (code === 45) continue
    bits = (bits << 4) | hexValue(code)
    held += 4
    if (held < 5) continue
    held -= 5
    text += alphabet[bits >> held] ?? ""
    bits &= (1 << held) - 1
  }
  return text
}

const decode = (text: string): string => {
  let hex = ""
  let bits = 0
  let held = -2
  for (let i = 0; i < text.length; i++) {
    bits = (bits << 5) | (base32Values[text.charCodeAt(i)] ?? 0)
    held += 5
    while (held >= 4) {
      held -= 4
      hex += hexDigits[bits >> held] ?? ""
      bits &= (1 << held) - 1
    }
  }
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
