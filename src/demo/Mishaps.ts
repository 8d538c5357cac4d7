/**
 * What goes wrong at the flaky receiver: planned from the seed, so every run has the same troubles. They come one by one
 * with quiet between them, since a receiver that only fails would be left alone for a while.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { StoryEvent } from "./Story.ts"

/** It answers 503; it takes the request and never answers; it cuts the connection. */
export type Mishap = "busy" | "slow" | "reset"

/** For an event's `happening`, what befalls its first attempts, in order. */
export type Plan = ReadonlyMap<string, ReadonlyArray<Mishap>>

/** How a receiver knows an event again: what of it does not depend on the run. */
export const happening = (eventType: string, createdAt: string): string => `${eventType} ${createdAt}`

export const plan = (seed: number, events: ReadonlyArray<StoryEvent>): Effect.Effect<Plan> =>
  Effect.gen(function*() {
    const troubled = new Map<string, ReadonlyArray<Mishap>>()
    let quiet = 2
    for (const { eventType, occurredAt } of events) {
      if (quiet-- > 0) continue
      quiet = yield* Random.nextIntBetween(2, 6)
      const count = (yield* Random.next) < 0.35 ? 2 : 1
      const first = yield* draw
      troubled.set(
        happening(eventType, DateTime.formatIso(occurredAt)),
        count === 1 ? [first] : [first, yield* draw]
      )
    }
    return troubled
  }).pipe(Effect.withRandom(Random.make(seed)))

const draw = Effect.map(Random.next, (drawn): Mishap => drawn < 0.45 ? "busy" : drawn < 0.75 ? "reset" : "slow")
