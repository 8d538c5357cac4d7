/** pg-boss 10, the last one that says that it runs on Node 20: it polls, and settles a batch as a whole. */
import * as Effect from "effect/Effect"
import PgBoss from "pg-boss-10"
import * as AttemptLog from "../AttemptLog.ts"
import type { Contender, Make } from "../Contender.ts"
import * as Sender from "./Sender.ts"

const queue = "webhook"
const batchSize = 500
const workers = 2
/** Requests of a worker at once. */
const concurrency = 100

export const make: Make = (place) =>
  Effect.gen(function*() {
    const { jobsOf, pool, post } = yield* Sender.make(place, { concurrency: workers * concurrency, poolMax: 20 })
    const boss = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const boss = new PgBoss({ connectionString: place.databaseUrl, max: 20, supervise: false, schedule: false })
        boss.on("error", () => {})
        await boss.start()
        return boss
      }),
      (boss) => Effect.promise(() => boss.stop({ graceful: false }))
    )
    const ids: Array<string> = []
    const handle = async (jobs: ReadonlyArray<{ readonly data: Sender.Job }>) => {
      const waiting = jobs[Symbol.iterator]()
      const attempts: Array<AttemptLog.Attempt> = []
      const lane = async () => {
        for (const { data } of waiting) attempts.push(await post(data, 1))
      }
      await Promise.all(Array.from({ length: concurrency }, lane))
      await AttemptLog.insertAll(pool, attempts)
      // A full batch: there may be more, and the next poll is half a second away.
      if (jobs.length === batchSize) { for (const id of ids) boss.notifyWorker(id) }
    }
    yield* Effect.promise(async () => {
      await boss.createQueue(queue, { retryLimit: 5, retryBackoff: true })
      for (let i = 0; i < workers; i++) {
        ids.push(await boss.work(queue, { batchSize, pollingIntervalSeconds: 0.5 }, handle))
      }
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
            : boss.insert(jobs.map((data) => ({ name: queue, data })))
        }
      }
    }
    return contender
  })
