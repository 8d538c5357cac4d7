/** pg-boss 12: batches settled job by job, fetched again at once while they are full. */
import * as Effect from "effect/Effect"
import { PgBoss } from "pg-boss"
import * as AttemptLog from "../AttemptLog.ts"
import type { Contender, Make } from "../Contender.ts"
import * as Sender from "./Sender.ts"

export interface PgBossOptions {
  /** Whether a job wakes the workers, for half a second less of waiting and a third less of throughput. */
  readonly notifies: boolean
}

const queue = "webhook"
const batchSize = 100

export const make = ({ notifies }: PgBossOptions): Make => (place) =>
  Effect.gen(function*() {
    const workers = place.answersAfterMs > 0 ? 4 : 2
    const { jobsOf, pool, post } = yield* Sender.make(place, { concurrency: workers * batchSize, poolMax: 20 })
    const boss = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const boss = new PgBoss({
          connectionString: place.databaseUrl,
          max: 20,
          useListenNotify: notifies,
          supervise: false,
          schedule: false
        })
        boss.on("error", () => {})
        boss.on("warning", () => {})
        await boss.start()
        return boss
      }),
      (boss) => Effect.promise(() => boss.stop({ graceful: false }))
    )
    /** One insert for the attempts of a batch: row by row it is a third slower. */
    const handle = async (jobs: ReadonlyArray<{ readonly id: string; readonly data: Sender.Job }>) => {
      const posted = await Promise.allSettled(jobs.map(({ data }) => post(data, 1)))
      await AttemptLog.insertAll(pool, posted.flatMap((one) => one.status === "fulfilled" ? [one.value] : []))
      return jobs.map(({ id }, i) => ({ id, status: posted[i]?.status === "fulfilled" ? "completed" : "failed" }))
    }
    yield* Effect.promise(async () => {
      await boss.createQueue(queue, { notify: notifies, retryLimit: 5, retryBackoff: true })
      await boss.work(queue, {
        batchSize,
        localConcurrency: workers,
        burstWhenBatchFull: true,
        perJobResults: true,
        pollingIntervalSeconds: 0.5,
        notifyPollingIntervalSeconds: 0.5
      }, handle)
    })
    const contender: Contender = {
      batch: 1,
      publish: {
        kind: "promise",
        run: ([event]) => {
          const jobs = event === undefined ? [] : jobsOf(event)
          const [job] = jobs
          return jobs.length === 1 && job !== undefined
            ? boss.send(queue, job)
            : boss.insert(queue, jobs.map((data) => ({ data })))
        }
      }
    }
    return contender
  })
