/** As fast as it goes: everybody publishes without a pause, in four worlds. */
import * as Effect from "effect/Effect"
import { everybody } from "../Contenders.ts"
import * as DurablePostgres from "../DurablePostgres.ts"
import * as SlowDisk from "../SlowDisk.ts"
import * as Stage from "../Stage.ts"
import * as Throughput from "../Throughput.ts"
import type { Case } from "../Trial.ts"

export const columns: Case["columns"] = [
  { key: "perSecond", title: "deliveries/s", digits: 0 },
  { key: "publishedPerSecond", title: "events published/s", digits: 0 },
  { key: "cpu", title: "CPU s per 1,000", digits: 3 },
  { key: "senderCpu", title: "node", digits: 3 },
  { key: "publisherCpu", title: "publisher", digits: 3 },
  { key: "postgresCpu", title: "Postgres", digits: 3 },
  { key: "redisCpu", title: "Redis", digits: 3 },
  { key: "memoryPeakMiB", title: "node MiB", digits: 0 }
]

interface World {
  readonly name: string
  readonly about: string
  readonly contenders: ReadonlyArray<string>
  readonly answersAfterMs?: number
  readonly fanOut?: number
  /** 0 for the machine's own disk. */
  readonly fsyncMs?: number
}

const caseOf = ({ about, answersAfterMs = 0, contenders, fanOut = 1, fsyncMs = 0, name }: World): Case => ({
  name,
  about,
  columns,
  lessIsBetter: false,
  contenders,
  trials: (entries, { isQuick, profiles, seconds }) =>
    Effect.gen(function*() {
      const slowDisk = fsyncMs === 0
        ? null
        : yield* SlowDisk.make(yield* DurablePostgres.temporaryDirectory, fsyncMs)
      return entries.map((entry) => ({
        name: entry.name,
        run: Effect.flatMap(
          Stage.set(entry, {
            ...Stage.plain({ profiles }),
            fanOut,
            manners: { answersAfterMs, readsTimes: false },
            slowDisk
          }),
          (stage) =>
            Throughput.measure(stage, {
              inFlight: fanOut === 1 ? 128 : 64,
              payloadBytes: 400,
              seconds,
              isQuick
            })
        )
      }))
    })
})

export const instant = caseOf({ name: "instant", about: "the receiver answers at once", contenders: everybody })

export const slow = caseOf({
  name: "slow",
  about: "the receiver takes 20 ms",
  contenders: everybody,
  answersAfterMs: 20
})

export const fanOut = caseOf({
  name: "fan-out",
  about: "each event goes to 5 webhooks",
  contenders: everybody,
  fanOut: 5
})

export const slowFsync = caseOf({
  name: "slow-fsync",
  about: "every fsync takes 2 ms longer, as on a disk that really flushes",
  contenders: everybody,
  fsyncMs: 2
})
