/** The receiver's process, as the benchmark sees it. */
import * as Effect from "effect/Effect"
import * as Process from "./Process.ts"
import type { ReceiverAnswers } from "./receiver.ts"

export interface Manners {
  readonly answersAfterMs: number
  /** Whether it looks into the bodies for the time of publishing, which costs it something. */
  readonly readsTimes: boolean
}

/** Since the last reset. */
export interface Seen {
  readonly requests: number
  readonly unsigned: number
  /** From publishing to the last byte of the request; of requests that say when they were published. */
  readonly latenciesUs: ReadonlyArray<number>
}

export const start = (manners: Manners) =>
  Effect.map(
    Process.start<{ readonly port: number; readonly blackHolePort: number }, ReceiverAnswers>("receiver.ts", manners),
    ({ ask, ready }) => ({
      url: `http://127.0.0.1:${ready.port}/hook`,
      blackHoleUrl: `http://127.0.0.1:${ready.blackHolePort}/hook`,
      received: (count: number) => ask("received", count),
      seen: ask("seen"),
      reset: ask("reset")
    })
  )
