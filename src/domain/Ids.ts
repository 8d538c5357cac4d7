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

/** A new id of the given kind, of the given Unix millisecond, a whole number below 2^48: 74 bits of it are random. */
export const makeAt = <K extends keyof Kinds>(kind: K, millis: number): Kinds[K] => {
  writePrefix(prefixes[kind])
  writeTime(millis)
  writeRandom()
  return encoded.toString("latin1") as Kinds[K]
}

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

// An event's ids are converted a dozen times on its way: digit by digit, in a fraction of the time that BigInt takes, into
// bytes that become a text at once. A text that is put together character by character is a tree to V8, and stays one.

const prefixLength = 4
const digits = Buffer.from(alphabet, "latin1")
const hexDigits = Buffer.from("0123456789abcdef", "latin1")
const hexValue = (code: number): number => code <= 57 ? code - 48 : (code | 32) - 87

const base32Values = new Uint8Array(128)
for (let i = 0; i < alphabet.length; i++) base32Values[alphabet.charCodeAt(i)] = i

const encoded = Buffer.alloc(prefixLength + 26, "_")

const writePrefix = (prefix: string): void => {
  for (let i = 0; i < 3; i++) encoded[i] = prefix.charCodeAt(i)
}

// RFC 9562 UUIDv7: 48 bits of Unix milliseconds, the version, 12 random bits, the variant, 62 random bits. With the two zeros
// that are in front, the milliseconds are ten digits and all else is sixteen.
const time = Buffer.alloc(10)

// Many are made in one millisecond.
let timeWritten = Number.NaN

const writeTime = (millis: number): void => {
  if (millis !== timeWritten) {
    let left = millis
    for (let i = time.length - 1; i >= 0; i--) {
      time[i] = digits[left % 32] ?? 0
      left = Math.floor(left / 32)
    }
    timeWritten = millis
  }
  encoded.set(time, prefixLength)
}

// Asked for one by one, random numbers take longer than all else here.
const random = new Uint8Array(4_000)
const randomBytes = 10
let randomAt = random.length

const writeRandom = (): void => {
  if (randomAt === random.length) {
    crypto.getRandomValues(random)
    randomAt = 0
  }
  let at = prefixLength + time.length
  let bits = 0
  let held = 0
  for (let i = 0; i < randomBytes; i++) {
    const byte = random[randomAt++] ?? 0
    bits = (bits << 8) | (i === 0 ? 0x70 | (byte & 0x0f) : i === 2 ? 0x80 | (byte & 0x3f) : byte)
    held += 8
    while (held >= 5) {
      held -= 5
      encoded[at++] = digits[bits >> held] ?? 0
      bits &= (1 << held) - 1
    }
  }
}

const encode = (prefix: string, uuid: string): string => {
  writePrefix(prefix)
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
