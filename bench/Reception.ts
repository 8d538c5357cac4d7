/** The receiver's process, as the benchmark sees it. */
import * as Effect from "effect/Effect"
import * as Process from "./Process.ts"
import type { Manners, ReceiverAnswers } from "./receiver.ts"

export type Reception = Effect.Effect.Success<ReturnType<typeof start>>

export const start = (manners: Manners) =>
  Effect.map(
    Process.start<{ readonly port: number; readonly blackHolePort: number }, ReceiverAnswers>("receiver.ts", manners),
    ({ ask, ready }) => ({
      url: `http://127.0.0.1:${ready.port}/hook`,
      blackHoleUrl: `http://127.0.0.1:${ready.blackHolePort}/hook`,
      timed: (count: number) => ask("timed", count),
      received: (count: number) => ask("received", count),
      seen: ask("seen"),
      reset: ask("reset")
    })
  )
