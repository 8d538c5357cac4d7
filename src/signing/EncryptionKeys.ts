/** The keyring of `SecretBox`, as the operator writes it: `k2:<base64 of 32 bytes>,k1:<base64 of 32 bytes>`. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"

export interface EncryptionKey {
  readonly id: string
  readonly bytes: Redacted.Redacted<Uint8Array>
}

/** The first key seals, all of them open. */
export type EncryptionKeys = readonly [EncryptionKey, ...ReadonlyArray<EncryptionKey>]

const keyLength = 32

// Short, so that key material in the wrong place is not taken for an id and printed.
const keyId = /^[A-Za-z0-9_-]{1,16}$/

export const isKeyId = (text: string): boolean => keyId.test(text)

const isEncryptionKeys = (value: unknown): value is EncryptionKeys => Array.isArray(value) && value.length > 0

/** Its messages name the entry and what is wrong with it, never what stands there. */
export const EncryptionKeys = Schema.transformOrFail(
  Schema.String,
  Schema.declare(isEncryptionKeys, { identifier: "EncryptionKeys" }),
  {
    strict: true,
    decode: (text, _, ast) => Either.mapLeft(parse(text), (message) => new ParseResult.Type(ast, null, message)),
    encode: (_keys, _, ast) => ParseResult.fail(new ParseResult.Forbidden(ast, null, "keys are never written out"))
  }
)

const parse = (text: string): Either.Either<EncryptionKeys, string> =>
  Either.gen(function*() {
    const [first, ...rest] = text.split(",")
    const keys: [EncryptionKey, ...Array<EncryptionKey>] = [yield* parseEntry(first ?? "", 1)]
    for (const [index, entry] of rest.entries()) {
      const key = yield* parseEntry(entry, index + 2)
      if (keys.some(({ id }) => id === key.id)) {
        return yield* Either.left(`entry ${index + 2} (${key.id}): expected each key id once, found it again`)
      }
      keys.push(key)
    }
    return keys
  })

const parseEntry = (entry: string, position: number): Either.Either<EncryptionKey, string> => {
  const text = entry.trim()
  const colon = text.indexOf(":")
  const wanted = `expected <key id>:<base64 of ${keyLength} bytes>`
  if (text === "") return Either.left(`entry ${position}: ${wanted}, found nothing`)
  if (colon < 0) return Either.left(`entry ${position}: ${wanted}, found no colon`)
  const id = text.slice(0, colon)
  if (!isKeyId(id)) {
    return Either.left(`entry ${position}: expected a key id of 1 to 16 letters, digits, '_' or '-' before the colon`)
  }
  const base64 = text.slice(colon + 1)
  const bytes = Buffer.from(base64, "base64")
  if (bytes.toString("base64") !== base64) {
    return Either.left(
      `entry ${position} (${id}): expected base64 of ${keyLength} bytes, found text that is not base64`
    )
  }
  if (bytes.length !== keyLength) {
    return Either.left(`entry ${position} (${id}): expected base64 of ${keyLength} bytes, found ${bytes.length} bytes`)
  }
  return Either.right({ id, bytes: Redacted.make(new Uint8Array(bytes)) })
}

/** A fresh entry for the keyring, under an id that is unlikely to be there already. */
export const generateKey: Effect.Effect<Redacted.Redacted> = Effect.sync(() =>
  Redacted.make(`k${randomBytes(4).toString("hex")}:${randomBytes(keyLength).toString("base64")}`)
)
