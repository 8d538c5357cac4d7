/**
 * A receiver's own check of the three signatures, written from the documents and not with the service's signer: two
 * hands that have to come to the same result.
 */
import { Buffer } from "node:buffer"
import { type BinaryLike, createHmac, timingSafeEqual } from "node:crypto"

export interface Signed {
  readonly secret: string
  readonly body: Uint8Array
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  /** Unix seconds of the receiver's clock. */
  readonly now: number
}

export const schemes = ["X-Signature", "X-Deeper_Hub-Signature", "Standard Webhooks"] as const
export type Scheme = (typeof schemes)[number]

const toleranceSeconds = 300

/** The schemes whose signature is missing or wrong. */
export const wrong = (signed: Signed): ReadonlyArray<Scheme> => schemes.filter((scheme) => !checks[scheme](signed))

const checks: Record<Scheme, (signed: Signed) => boolean> = {
  "X-Signature": (signed) => equal(header(signed, "x-signature"), hmac(signed.secret, [signed.body]).toString("hex")),

  "X-Deeper_Hub-Signature": (signed) => {
    const parts = header(signed, "x-deeper_hub-signature").split(",")
    const time = parts.find((part) => part.startsWith("t="))?.slice(2) ?? ""
    const expected = hmac(signed.secret, [`${time}.${header(signed, "x-delivery-id")}.`, signed.body]).toString("hex")
    return isRecent(time, signed.now) && parts.some((part) => equal(part, `v1=${expected}`))
  },

  "Standard Webhooks": (signed) => {
    const time = header(signed, "webhook-timestamp")
    const key = signed.secret.startsWith("whsec_") ? Buffer.from(signed.secret.slice(6), "base64") : signed.secret
    const expected = hmac(key, [`${header(signed, "webhook-id")}.${time}.`, signed.body]).toString("base64")
    return isRecent(time, signed.now) &&
      header(signed, "webhook-signature").split(" ").some((signature) => equal(signature, `v1,${expected}`))
  }
}

const header = ({ headers }: Signed, name: string): string => {
  const value = headers[name]
  return typeof value === "string" ? value : ""
}

const isRecent = (time: string, now: number): boolean =>
  /^\d+$/.test(time) && Math.abs(now - Number(time)) <= toleranceSeconds

const hmac = (key: BinaryLike, parts: ReadonlyArray<BinaryLike>): Buffer =>
  parts.reduce((hash, part) => hash.update(part), createHmac("sha256", key)).digest()

const equal = (given: string, expected: string): boolean => {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
