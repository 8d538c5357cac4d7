/** A webhook's signing secret: made here, or chosen by the client. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"

const prefix = "whsec_"

/** A fresh secret: `whsec_` and the base64 of 32 random bytes, as Standard Webhooks has it. */
export const generate: Effect.Effect<Redacted.Redacted> = Effect.sync(() =>
  Redacted.make(prefix + randomBytes(32).toString("base64"))
)

const allowed = "expected a secret of 8 to 256 printable ASCII characters without spaces at its ends; after whsec_, " +
  "base64 of 24 to 64 bytes"

const visible = /^[!-~][ -~]{6,254}[!-~]$/

/** Receivers' libraries decode what follows `whsec_`: a secret that they could not decode is refused. */
const isUsable = (secret: string): boolean => {
  if (!visible.test(secret)) return false
  if (!secret.startsWith(prefix)) return true
  const length = decoded(secret)?.length ?? 0
  return length >= 24 && length <= 64
}

/** `Schema.Redacted`, whose description is of what is redacted also where a struct's keys are renamed. */
export const described = (text: Schema.Schema<string>, description: string): Schema.Schema<Redacted.Redacted, string> =>
  Schema.transform(text, Schema.RedactedFromSelf(Schema.typeSchema(text)).annotations({ description }), {
    strict: true,
    decode: (plain) => Redacted.make(plain),
    encode: (secret) => Redacted.value(secret)
  })

/**
 * A secret that a client chose. The lower bound only keeps out the guessable; a client who cares lets us generate one.
 * Its messages say what is allowed and never what was given.
 */
export const ChosenSecret: Schema.Schema<Redacted.Redacted, string> = described(
  Schema.String.annotations({ message: () => ({ message: allowed, override: true }) }).pipe(
    Schema.filter(isUsable, {
      message: () => ({ message: allowed, override: true }),
      jsonSchema: { minLength: 8, maxLength: 256, pattern: visible.source },
      arbitrary: () => (fc) => fc.stringMatching(visible).filter(isUsable)
    })
  ),
  "A secret that you chose: 8 to 256 printable ASCII characters; after whsec_, base64 of 24 to 64 bytes. Without one we " +
    "generate it and show it once."
)

/** The key of `X-Signature` and `X-Deeper_Hub-Signature`: the secret as its owner sees it. */
export const stringKey = (secret: Redacted.Redacted): Uint8Array => Buffer.from(Redacted.value(secret))

/** The key of Standard Webhooks: the bytes that `whsec_` announces, or those of the string that a client chose. */
export const standardKey = (secret: Redacted.Redacted): Uint8Array =>
  decoded(Redacted.value(secret)) ?? stringKey(secret)

/** The bytes of a `whsec_` secret, if its base64 is valid: padded, and spelled the one way that these bytes are. */
const decoded = (secret: string): Uint8Array | undefined => {
  if (!secret.startsWith(prefix)) return undefined
  const base64 = secret.slice(prefix.length)
  const bytes = Buffer.from(base64, "base64")
  return bytes.length > 0 && bytes.toString("base64") === base64 ? bytes : undefined
}
