/** Far from saturation, as most of the day is: 200 events a second, whatever becomes of those before. */
import * as Effect from "effect/Effect"
import { entries } from "../Contenders.ts"
import * as Stage from "../Stage.ts"
import * as Steadiness from "../Steadiness.ts"
import * as Throughput from "../Throughput.ts"
import type { Case } from "../Trial.ts"

export const latency: Case = {
  name: "latency",
  about: "200 events a second, from publishing to the receiver",
  columns: [...Steadiness.columns, { key: "cpu", title: "CPU s per 1,000", digits: 2 }],
  lessIsBetter: true,
  // One event at a time is what is published: a batch of one is the same.
  contenders: entries.map(({ name }) => name).filter((name) => name !== "http-batch"),
  trials: (entries, { isQuick, profiles, seconds }) =>
    Effect.succeed(entries.map((entry) => ({
      name: entry.name,
      run: Effect.gen(function*() {
        const stage = yield* Stage.set(entry, {
          ...Stage.plain({ profiles }),
          manners: { answersAfterMs: 0, readsTimes: true }
        })
        const { eventTypes } = stage
        yield* Throughput.warmUp(stage, isQuick)
        return yield* Steadiness.measure(stage, { eventTypes, perSecond: 200, seconds, patience: "30 seconds" })
      })
    })))
}
