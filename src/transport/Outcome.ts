/** From what an attempt saw to success or failure. The status line decides; what came after it is a note. */
import * as Effect from "effect/Effect"
import type { Exchange } from "../domain/Attempt.ts"
import { type DeliveryFailure, PermanentFailure, RetryableFailure } from "../domain/DeliveryError.ts"
import { type Circumstances, Classified, DeadlinePassed, ofError, ofStatus } from "./Classification.ts"
import { parseRetryAfter } from "./RetryAfter.ts"

export interface Seen extends Circumstances {
  readonly startedAt: number
  readonly durationMs: number
  readonly peerAddress: string | null
  readonly certificateExpiresAt: number | null
  readonly status: number | null
  readonly headers: Record<string, string>
  readonly retryAfter: string | null
  readonly body: Uint8Array
  readonly bodyTruncated: boolean
  /** What ended the attempt; null where the response was read as far as we wanted it. */
  readonly error: unknown
}

export const outcome = (seen: Seen): Effect.Effect<Exchange, DeliveryFailure> => {
  if (seen.status === null) return failure(ofError(seen.error, seen), exchangeOf(seen, null), null)
  const exchange = exchangeOf(seen, seen.error === null ? null : bodyError(seen.error))
  const classified = ofStatus(seen.status)
  if (classified === null) return Effect.succeed(exchange)
  return failure(classified, exchange, parseRetryAfter(seen.retryAfter, seen.startedAt + seen.durationMs))
}

const bodyError = (error: unknown): string =>
  error instanceof DeadlinePassed
    ? "The response's body had not ended when the time was up."
    : "The response's body broke off or is not valid HTTP."

const exchangeOf = (seen: Seen, error: string | null): Exchange => ({
  startedAt: seen.startedAt,
  durationMs: seen.durationMs,
  peerAddress: seen.peerAddress,
  status: seen.status,
  headers: seen.headers,
  body: seen.body,
  bodyTruncated: seen.bodyTruncated,
  bodyError: error,
  certificateExpiresAt: seen.certificateExpiresAt
})

// Made of values that are typed already: checking them again would cost more than all else here.
const unchecked = { disableValidation: true }

const failure = (
  classified: Classified,
  exchange: Exchange,
  retryAfterMs: number | null
): Effect.Effect<never, DeliveryFailure> => {
  const { message } = classified
  return Classified.$is("Retryable")(classified)
    ? Effect.fail(new RetryableFailure({ class: classified.class, message, retryAfterMs, exchange }, unchecked))
    : Effect.fail(new PermanentFailure({ class: classified.class, message, exchange }, unchecked))
}
