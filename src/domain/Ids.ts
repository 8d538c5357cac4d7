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
  Effect.map(Clock.currentTimeMillis, (millis) => fromUuid(kind, uuidV7(millis)))

/** The UUID inside an id. */
export const toUuid = (id: Kinds[keyof Kinds]): string => decode(id.slice(id.indexOf("_") + 1))

/** The id of a kind that holds a UUID. */
export const fromUuid = <K extends keyof Kinds>(kind: K, uuid: string): Kinds[K] =>
  `${prefixes[kind]}_${encode(uuid)}` as Kinds[K]

/** RFC 9562 UUIDv7: 48 bits of Unix milliseconds, then 74 random bits. */
export const uuidV7 = (millis: number): string => {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  for (let i = 0; i < 6; i++) bytes[i] = Math.floor(millis / 2 ** (8 * (5 - i))) & 0xff
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f)
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f)
  return hexToUuid(Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""))
}

const hexToUuid = (hex: string): string =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`

const encode = (uuid: string): string => {
  let bits = BigInt(`0x${uuid.replaceAll("-", "")}`)
  let text = ""
  for (let i = 0; i < 26; i++) {
    text = alphabet[Number(bits & 31n)] + text
    bits >>= 5n
  }
  return text
}

const decode = (text: string): string => {
  let bits = 0n
  for (const character of text) bits = (bits << 5n) | BigInt(alphabet.indexOf(character))
  return hexToUuid(bits.toString(16).padStart(32, "0"))
}
