/** Waiting for what another process does: ask again and again, never longer than the patience, never by sleeping it off. */
import { Data, type Duration, Effect, Schedule } from "effect"

class StillNot extends Data.TaggedError("StillNot")<{ readonly message: string }> {}

/** Generous: it ends what hangs, and does not measure how fast a busy machine is. */
const patience = "60 seconds"

/** Asks until the answer is as wanted; says what the last answer was when the patience is over. */
export const eventually = <A, E, R>(
  ask: Effect.Effect<A, E, R>,
  wanted: (answer: A) => boolean,
  within: Duration.DurationInput = patience
): Effect.Effect<A, E | StillNot, R> =>
  Effect.suspend(() => {
    let last: unknown = "nothing"
    return ask.pipe(
      Effect.tap((answer) =>
        Effect.sync(() => {
          last = answer
        })
      ),
      Effect.repeat(Schedule.zipRight(Schedule.spaced("20 millis"), Schedule.recurUntil(wanted))),
      Effect.timeoutFail({
        duration: within,
        onTimeout: () => new StillNot({ message: `not within ${String(within)}; last: ${JSON.stringify(last)}` })
      })
    )
  })

/** For what comes by itself, such as a receiver's next request. */
export const soon = <A, E, R>(awaited: Effect.Effect<A, E, R>): Effect.Effect<A, E | StillNot, R> =>
  Effect.timeoutFail(awaited, {
    duration: patience,
    onTimeout: () => new StillNot({ message: `nothing within ${patience}` })
  })
