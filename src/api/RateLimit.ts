/**
 * How often one key may ask: a token bucket for each, in this process. A bucket is kept as the one moment at which it
 * will be full again (the generic cell rate algorithm), on a clock that nobody sets. A bucket that is full is no
 * different from one that was never used, so it is forgotten: what stays in memory is who asked within the last
 * `burst / perSecond` seconds.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Tell } from "./AnswerHeaders.ts"
import { TooManyRequests } from "./Problem.ts"

export interface RateLimitOptions {
  /** Tokens that come back in a second; 0 for no limit. */
  readonly perSecond: number
  /** Tokens in a full bucket. */
  readonly burst: number
}

export class RateLimit extends Context.Tag("deeper-hub-webhooks/api/RateLimit")<RateLimit, {
  /**
   * Takes a token out of the key's bucket, or refuses. Either way `tell` is handed the headers in which the answer says
   * how much is left, as draft-ietf-httpapi-ratelimit-headers-10 spells them.
   */
  readonly charge: (key: string, tell: Tell) => Effect.Effect<void, TooManyRequests>
  /** How many buckets are not full. */
  readonly buckets: Effect.Effect<number>
}>() {
  static readonly layer = (options: RateLimitOptions) => Layer.sync(this, () => make(options))
}

const make = ({ burst, perSecond }: RateLimitOptions): typeof RateLimit.Service => {
  if (perSecond === 0) return { charge: () => Effect.void, buckets: Effect.succeed(0) }
  const tokenMs = 1_000 / perSecond
  const bucketMs = burst * tokenMs
  /** Milliseconds at which each bucket is full; the one used longest ago comes first. */
  const fullAt = new Map<string, number>()

  const forget = (now: number): void => {
    for (const [key, full] of fullAt) {
      if (full > now) return
      fullAt.delete(key)
    }
  }

  const take = (key: string, now: number): { readonly remaining: number; readonly waitMs: number } => {
    forget(now)
    const full = Math.max(now, fullAt.get(key) ?? now)
    const waitMs = full + tokenMs - bucketMs - now
    if (waitMs > rounding) return { remaining: 0, waitMs }
    fullAt.delete(key)
    fullAt.set(key, full + tokenMs)
    return { remaining: Math.floor((now + bucketMs - full - tokenMs) / tokenMs + rounding), waitMs: 0 }
  }

  const policy = `"key";q=${burst};w=${Math.ceil(bucketMs / 1_000)}`

  return {
    charge: (key, tell) =>
      Clock.clockWith((clock) => {
        const { remaining, waitMs } = take(key, Number(clock.unsafeCurrentTimeNanos()) / 1_000_000)
        const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1_000))
        const headers = {
          ratelimit: `"key";r=${remaining}${waitMs > 0 ? `;t=${retryAfterSeconds}` : ""}`,
          "ratelimit-policy": policy
        }
        return waitMs > 0
          ? Effect.zipRight(tell(headers), exceeded({ burst, perSecond }, retryAfterSeconds))
          : tell(headers)
      }),
    buckets: Effect.map(Clock.currentTimeNanos, (nanos) => {
      forget(Number(nanos) / 1_000_000)
      return fullAt.size
    })
  }
}

/** Milliseconds since 1970 are exact to a quarter of a microsecond only. */
const rounding = 0.001

const exceeded = ({ burst, perSecond }: RateLimitOptions, retryAfterSeconds: number) =>
  new TooManyRequests({
    code: "rate_limited",
    message: `This key may ask ${perSecond} times a second and ${burst} times at once. Come back after Retry-After.`,
    retryAfterSeconds
  })
