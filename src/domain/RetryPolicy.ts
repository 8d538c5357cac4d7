/**
 * When a failed delivery is tried again. Pure arithmetic: the delay becomes a column, so it survives any restart.
 */
import type { DeliveryFailure, RetryableClass } from "./DeliveryError.ts"
import * as DeliveryError from "./DeliveryError.ts"

export interface RetryPolicy {
  /** Attempts that may be charged to one delivery, the first included. */
  readonly maxAttempts: number
  readonly baseDelayMs: number
  readonly maxDelayMs: number
  readonly backoffFactor: number
}

/** What becomes of a delivery after a failed attempt. */
export type Decision =
  | { readonly status: "failed_retryable"; readonly delayMs: number }
  | { readonly status: "failed_permanent" }

const jitterShare = 0.2

/**
 * Milliseconds before the attempt that follows the `attempt`th: `min(maxDelay, base · factor^(attempt-1))`, spread by
 * ±20 % so that what failed together does not return together, and never less than the receiver asked for.
 * `jitter` is in [0, 1); the caller draws it, so that this stays pure.
 */
export const delayMs = (policy: RetryPolicy, attempt: number, jitter: number, retryAfterMs: number | null): number => {
  const backoffMs = Math.min(policy.maxDelayMs, policy.baseDelayMs * policy.backoffFactor ** (attempt - 1))
  const spreadMs = backoffMs * (1 - jitterShare + 2 * jitterShare * jitter)
  return Math.round(Math.max(spreadMs, Math.min(retryAfterMs ?? 0, policy.maxDelayMs)))
}

/**
 * Milliseconds that some classes wait at the least, whatever the policy: a name that leads inside is not asked again at
 * the pace of a receiver that is merely down, or its owner could scan a network with it. An operator's `maxDelayMs`
 * bounds the backoff and what receivers ask for, not this.
 */
const shortestDelayMs: Partial<Record<RetryableClass, number>> = { blocked_address: 5 * 60_000 }

/** Spread too, to the one side that is left. */
const atLeastMs = (failure: RetryableClass, jitter: number): number =>
  Math.round((shortestDelayMs[failure] ?? 0) * (1 + jitterShare * jitter))

/**
 * Decides after a failed attempt. `charged` counts the attempts spent so far, this one included where it is charged;
 * an uncharged failure is never the last one.
 */
export const decide = (policy: RetryPolicy, charged: number, failure: DeliveryFailure, jitter: number): Decision => {
  if (failure._tag === "PermanentFailure") return { status: "failed_permanent" }
  if (charged >= policy.maxAttempts && !DeliveryError.isUncharged(failure.class)) return { status: "failed_permanent" }
  // We broke it off ourselves, to stop: whoever runs next makes it.
  if (failure.class === "interrupted") return { status: "failed_retryable", delayMs: 0 }
  const backoffMs = delayMs(policy, Math.max(charged, 1), jitter, failure.retryAfterMs)
  return { status: "failed_retryable", delayMs: Math.max(backoffMs, atLeastMs(failure.class, jitter)) }
}
