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
      arbitrary: () => (fc) => fc.uuid({ version: 7 }).map((uuid) => encode(prefix, uuid))
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
export const toUuid = (id: Kinds[keyof Kinds]): string => decode(id)

/** The id of a kind that holds a UUID. */
export const fromUuid = <K extends keyof Kinds>(kind: K, uuid: string): Kinds[K] =>
  encode(prefixes[kind], uuid) as Kinds[K]

/** Unix milliseconds at which an id was made: the 48 bits of its UUIDv7 that come first are its first ten characters. */
export const madeAt = (id: Kinds[keyof Kinds]): number => {
  let millis = 0
  for (let i = prefixLength; i < prefixLength + 10; i++) millis = millis * 32 + (base32Values[id.charCodeAt(i)] ?? 0)
  return millis
}

/** RFC 9562 UUIDv7: 48 bits of Unix milliseconds, then the 74 random bits that a UUIDv4 has in the same places. */
export const uuidV7 = (millis: number): string => timePart(millis) + random.randomUUID().slice(15)

// Asking for the global takes longer than it does.
const random = crypto

// Many are made in one millisecond.
let latest = { millis: -1, part: "" }

const timePart = (millis: number): string => {
  if (latest.millis === millis) return latest.part
  const time = millis.toString(16).padStart(12, "0")
  latest = { millis, part: `${time.slice(0, 8)}-${time.slice(8)}-7` }
  return latest.part
}

// An event's ids are converted a dozen times on its way: digit by digit, in a fraction of the time that BigInt takes, into
// bytes that become a text at once. A text that is put together character by character is a tree to V8, and stays one.

const prefixLength = 4
const digits = Buffer.from(alphabet, "latin1")
const hexDigits = Buffer.from("0123456789abcdef", "latin1")
const hexValue = (code: number): number => code <= 57 ? code - 48 : (code | 32) - 87

const base32Values = new Uint8Array(128)
for (let i = 0; i < alphabet.length; i++) base32Values[alphabet.charCodeAt(i)] = i

const encoded = Buffer.alloc(prefixLength + 26, "_")

const encode = (prefix: string, uuid: string): string => {
  for (let i = 0; i < 3; i++) encoded[i] = prefix.charCodeAt(i)
  let at = prefixLength
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
    encoded[at++] = digits[bits >> held] ?? 0
    bits &= (1 << held) - 1
  }
  return encoded.toString("latin1")
}

const decoded = Buffer.alloc(36, "-")

const decode = (id: string): string => {
  let at = 0
  let bits = 0
  let held = -2
  for (let i = prefixLength; i < id.length; i++) {
    bits = (bits << 5) | (base32Values[id.charCodeAt(i)] ?? 0)
    held += 5
    while (held >= 4) {
      held -= 4
      if (at === 8 || at === 13 || at === 18 || at === 23) at++
      decoded[at++] = hexDigits[bits >> held] ?? 0
      bits &= (1 << held) - 1
    }
  }
  return decoded.toString("latin1")
}
