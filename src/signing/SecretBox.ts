/**
 * Encryption at rest of what clients entrust to us: signing secrets and custom headers.
 *
 * A box is `version ‖ length of key id ‖ key id ‖ nonce (12) ‖ tag (16) ‖ ciphertext`, AES-256-GCM. Its header and the
 * place it is stored in are authenticated: moved to another row, column or tenant, it does not open.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { Buffer } from "node:buffer"
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from "node:crypto"
import type { ClientId, WebhookId } from "../domain/Ids.ts"
import { type EncryptionKeys, isKeyId } from "./EncryptionKeys.ts"

/** Where a box is stored. What was sealed for one place opens in no other. */
export interface BoxContext {
  readonly clientId: ClientId
  readonly webhookId: WebhookId
  readonly column: string
}

export class SecretUnreadable extends Data.TaggedError("SecretUnreadable")<{
  /** `unknown_key`: the keyring lacks the key. `altered`: not what was sealed here. `malformed`: no box at all. */
  readonly reason: "unknown_key" | "altered" | "malformed"
  readonly keyId: string | null
  readonly context: BoxContext
  readonly message: string
}> {}

export class SecretBox extends Context.Tag("deeper-hub-webhooks/signing/SecretBox")<SecretBox, {
  readonly seal: (plain: Redacted.Redacted, context: BoxContext) => Effect.Effect<Uint8Array>
  /** A plain answer: it is asked for at every attempt. */
  readonly open: (box: Uint8Array, context: BoxContext) => Either.Either<Redacted.Redacted, SecretUnreadable>
  /** The key that seals. */
  readonly currentKeyId: string
  /** With these bytes begins every box under that key. One that begins otherwise is due for sealing again. */
  readonly currentHeader: Uint8Array
}>() {
  static readonly layer = (keys: EncryptionKeys): Layer.Layer<SecretBox> =>
    Layer.sync(this, () => {
      const ring = new Map(keys.map(({ bytes, id }) => [id, createSecretKey(Redacted.value(bytes))]))
      const [{ bytes, id: currentKeyId }] = keys
      const currentKey = createSecretKey(Redacted.value(bytes))
      return {
        seal: (plain, context) => Effect.sync(() => seal(currentKeyId, currentKey, Redacted.value(plain), context)),
        open: remembering((box, context) => open(ring, box, context)),
        currentKeyId,
        currentHeader: headerOf(currentKeyId)
      }
    })
}

type Open = (box: Uint8Array, context: BoxContext) => Either.Either<Redacted.Redacted, SecretUnreadable>

/** Webhooks whose opened boxes are remembered, each with a few: its secret, the one before, its headers. */
const webhooksMax = 10_000

interface Opened {
  readonly place: BoxContext
  readonly box: Uint8Array
  readonly plain: ReturnType<Open>
}

const isAt = ({ place }: Opened, { clientId, column }: BoxContext): boolean =>
  place.column === column && place.clientId === clientId

/**
 * Remembers opened boxes, the latest of each place: every attempt opens one to three, and that costs more than signing does.
 * Whoever can read this process's memory has the keys as well. They are found by the webhook alone and then compared: a text
 * that names the whole place would have to be made, and hashed, at every attempt.
 */
const remembering = (open: Open): SecretBox["Type"]["open"] => {
  const opened = new Map<WebhookId, Array<Opened>>()
  return (box, context) => {
    const ofWebhook = opened.get(context.webhookId)
    const known = ofWebhook?.find((one) => isAt(one, context))
    // The nonce is part of the box, so no two boxes are alike.
    if (known !== undefined && Buffer.compare(known.box, box) === 0) return known.plain
    const plain = open(box, context)
    if (opened.size >= webhooksMax) opened.clear()
    if (Either.isRight(plain)) {
      const others = ofWebhook?.filter((one) => !isAt(one, context)) ?? []
      opened.set(context.webhookId, [...others, { place: context, box: Uint8Array.from(box), plain }])
    }
    return plain
  }
}

const version = 1
const cipherName = "aes-256-gcm"
const nonceLength = 12
const tagLength = 16

const seal = (keyId: string, key: KeyObject, plain: string, context: BoxContext): Uint8Array => {
  const header = headerOf(keyId)
  const nonce = randomBytes(nonceLength)
  const cipher = createCipheriv(cipherName, key, nonce, { authTagLength: tagLength })
  cipher.setAAD(associatedData(header, context))
  const ciphertext = Buffer.concat([cipher.update(plain, "utf8"), cipher.final()])
  return new Uint8Array(Buffer.concat([header, nonce, cipher.getAuthTag(), ciphertext]))
}

const headerOf = (keyId: string): Uint8Array =>
  Buffer.concat([Buffer.of(version, keyId.length), Buffer.from(keyId, "latin1")])

const open = (
  ring: ReadonlyMap<string, KeyObject>,
  box: Uint8Array,
  context: BoxContext
): Either.Either<Redacted.Redacted, SecretUnreadable> => {
  const parts = Option.getOrNull(split(box))
  if (parts === null) {
    return unreadable("malformed", null, context, "the stored bytes are no box of a version that is known here")
  }
  const key = ring.get(parts.keyId)
  if (key === undefined) {
    return unreadable("unknown_key", parts.keyId, context, `the keyring holds no key "${parts.keyId}"`)
  }
  return Either.try(() => {
    const decipher = createDecipheriv(cipherName, key, parts.nonce, { authTagLength: tagLength })
    decipher.setAAD(associatedData(parts.header, context)).setAuthTag(parts.tag)
    return Redacted.make(Buffer.concat([decipher.update(parts.ciphertext), decipher.final()]).toString("utf8"))
  }).pipe(Either.orElse(() =>
    unreadable(
      "altered",
      parts.keyId,
      context,
      `it was altered, moved here from another place, or sealed with another key of the name "${parts.keyId}"`
    )
  ))
}

const unreadable = (
  reason: SecretUnreadable["reason"],
  keyId: string | null,
  context: BoxContext,
  why: string
): Either.Either<never, SecretUnreadable> => {
  const message = `cannot open ${context.column} of webhook ${context.webhookId}, client ${context.clientId}: ${why}`
  return Either.left(new SecretUnreadable({ reason, keyId, context, message }))
}

interface Parts {
  readonly header: Uint8Array
  readonly keyId: string
  readonly nonce: Uint8Array
  readonly tag: Uint8Array
  readonly ciphertext: Uint8Array
}

const split = (box: Uint8Array): Option.Option<Parts> => {
  const nonceAt = 2 + (box[1] ?? 0)
  const tagAt = nonceAt + nonceLength
  const ciphertextAt = tagAt + tagLength
  if (box[0] !== version || box.length < ciphertextAt) return Option.none()
  const keyId = Buffer.from(box.subarray(2, nonceAt)).toString("latin1")
  if (!isKeyId(keyId)) return Option.none()
  return Option.some({
    header: box.subarray(0, nonceAt),
    keyId,
    nonce: box.subarray(nonceAt, tagAt),
    tag: box.subarray(tagAt, ciphertextAt),
    ciphertext: box.subarray(ciphertextAt)
  })
}

/** Each part is preceded by its length, so that no two places share one spelling. */
const associatedData = (header: Uint8Array, { clientId, column, webhookId }: BoxContext): Uint8Array =>
  Buffer.concat([
    header,
    ...[clientId, webhookId, column].flatMap((part) => {
      const bytes = Buffer.from(part)
      const length = Buffer.alloc(4)
      length.writeUInt32BE(bytes.length)
      return [length, bytes]
    })
  ])
