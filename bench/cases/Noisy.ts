/** One receiver takes requests and never answers, and has much waiting; how do its 50 neighbours fare? */
import * as Effect from "effect/Effect"
import type { Entry } from "../Contenders.ts"
import * as Stage from "../Stage.ts"
import * as Steadiness from "../Steadiness.ts"
import * as Throughput from "../Throughput.ts"
import type { Case, Sizes } from "../Trial.ts"

const neighbours = 50

const trial = (entry: Entry, isNoisy: boolean, { isQuick, profiles, seconds }: Sizes) => ({
  name: isNoisy ? `${entry.name}, noisy` : entry.name,
  run: Effect.gen(function*() {
    const stage = yield* Stage.set(entry, {
      ...Stage.plain({ profiles }),
      eventTypes: neighbours,
      manners: { answersAfterMs: 0, readsTimes: true }
    })
    yield* Throughput.warmUp(stage, isQuick)
    if (isNoisy) {
      yield* stage.publisher.ask("asFastAsItGoes", {
        eventTypes: [Stage.blackHoleType],
        payloadBytes: 400,
        inFlight: 128,
        until: { events: isQuick ? 500 : 10_000 }
      })
    }
    return yield* Steadiness.measure(stage, {
      eventTypes: stage.eventTypes,
      perSecond: 200,
      seconds,
      patience: isQuick ? "3 seconds" : "15 seconds"
    })
  })
})

export const noisy: Case = {
  name: "noisy",
  about: "200 events a second to 50 webhooks, beside a black hole with 10,000 deliveries waiting and without",
  columns: Steadiness.columns,
  lessIsBetter: true,
  contenders: ["in-process", "graphile-worker", "pg-boss", "bullmq"],
  trials: (entries, sizes) =>
    Effect.succeed(entries.flatMap((entry) => [trial(entry, false, sizes), trial(entry, true, sizes)]))
}
