/** What keeps the hostile receivers busy: events for one group of them after the other, so that the load is even. */
import { Effect, Ref, Schedule } from "effect"
import type { ApiClient } from "../support/ApiClient.ts"

/** Every hostile webhook gets a delivery about so often. */
export const everySeconds = 12
const groups = 50

/** The event type that the nth receiver's webhook is registered for. */
export const typeFor = (n: number): string => `hostile.group${n % groups}`

/** Without end, to whatever service there is at the time, if any. */
export const publish = (service: Effect.Effect<ApiClient | null>): Effect.Effect<never> =>
  Effect.gen(function*() {
    const turn = yield* Ref.make(0)
    yield* Effect.gen(function*() {
      const api = yield* service
      if (api === null) return
      const n = yield* Ref.getAndUpdate(turn, (n) => (n + 1) % groups)
      yield* Effect.orDie(api.publish(typeFor(n), { filling: "x".repeat(8_000) }))
    }).pipe(Effect.repeat(Schedule.fixed(everySeconds * 1_000 / groups)))
    return yield* Effect.never
  })
