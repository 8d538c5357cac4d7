/** What senders of their own make send, which is what the service sends: a JSON body with a Standard Webhooks signature. */
import { createHmac } from "node:crypto"
import type { BenchEvent } from "./Contender.ts"
import { microseconds } from "./Monotonic.ts"

const secret = "bench-secret-of-thirty-two-bytes"

// Seconds since 1970 without asking the system for every request.
const epochMs = performance.timeOrigin + performance.now() - microseconds() / 1_000

export const bodyOf = ({ id, payload, type }: BenchEvent): string => JSON.stringify({ id, type, data: payload })

export const headersOf = (id: string, body: string): Readonly<Record<string, string>> => {
  const seconds = Math.floor((epochMs + microseconds() / 1_000) / 1_000)
  const signature = createHmac("sha256", secret).update(`${id}.${seconds}.${body}`).digest("base64")
  return {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": String(seconds),
    "webhook-signature": `v1,${signature}`
  }
}
