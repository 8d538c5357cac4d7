/**
 * HMAC-SHA-256 (RFC 2104) of short texts, by two hashes in one call each. Node's own object for it, made anew for every
 * signature, takes twice as long; an attempt has three signatures.
 */
import { createHmac, hash } from "node:crypto"

const blockBytes = 64
const digestBytes = 32

/** A key, ready for many signatures. */
export interface HmacKey {
  readonly bytes: Uint8Array
  /** The key's block, as the inner and the outer hash begin with it. */
  readonly inner: Uint8Array
  readonly outer: Uint8Array
}

export const key = (bytes: Uint8Array): HmacKey => {
  const block = Buffer.alloc(blockBytes)
  block.set(bytes.length > blockBytes ? hash("sha256", bytes, "buffer") : bytes)
  return { bytes, inner: block.map((byte) => byte ^ 0x36), outer: block.map((byte) => byte ^ 0x5c) }
}

/** UTF-16 units of a body that is hashed in one call; UTF-8 has at most three bytes for each. */
const unitsMax = 4_096
const prefixMax = 128

// The key's block and the prefix end where the body begins, so that a body which is signed again need not be written again:
// it has several signatures at each of its webhooks. What a call leaves here the next one overwrites; no call is interrupted
// by another.
const bodyAt = blockBytes + prefixMax
const message = Buffer.alloc(bodyAt + 3 * unitsMax)
const digest = Buffer.alloc(blockBytes + digestBytes)

let written = ""
let end = bodyAt

/** Of `prefix`, which is ASCII, and `body`, one after the other. */
export const sha256 = (
  { bytes, inner, outer }: HmacKey,
  prefix: string,
  body: string,
  encoding: "hex" | "base64"
): string => {
  if (prefix.length > prefixMax || body.length > unitsMax) {
    return createHmac("sha256", bytes).update(prefix, "latin1").update(body).digest(encoding)
  }
  if (body !== written) {
    end = bodyAt + message.write(body, bodyAt)
    written = body
  }
  const prefixAt = bodyAt - prefix.length
  message.write(prefix, prefixAt, "latin1")
  message.set(inner, prefixAt - blockBytes)
  digest.set(outer)
  digest.write(hash("sha256", message.subarray(prefixAt - blockBytes, end), "binary"), blockBytes, "binary")
  return hash("sha256", digest, encoding)
}
