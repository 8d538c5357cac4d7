/** graphile-worker, set up as its page on performance advises: a local queue, and jobs completed in batches. */
import * as Effect from "effect/Effect"
import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker"
import type { Contender, Make } from "../Contender.ts"
import * as Sender from "./Sender.ts"

const logger = new Logger(() => () => {})

/** Chosen by a sweep of nine settings; a slow receiver wants more at once. */
const localQueueSize = (concurrency: number) => concurrency + 1

export const make: Make = (place) =>
  Effect.gen(function*() {
    const concurrency = place.answersAfterMs > 0 ? 100 : 50
    const { deliver, jobsOf, pool } = yield* Sender.make(place, { concurrency, poolMax: 20 })
    const connectionString = place.databaseUrl
    yield* Effect.promise(() => runMigrations({ connectionString, logger }))
    yield* Effect.acquireRelease(
      Effect.promise(() =>
        run({
          noHandleSignals: true,
          logger,
          preset: {
            worker: {
              connectionString,
              maxPoolSize: 20,
              concurrentJobs: concurrency,
              pollInterval: 2_000,
              localQueue: { size: localQueueSize(concurrency) },
              completeJobBatchDelay: 250,
              failJobBatchDelay: 250
            }
          },
          taskList: { send: (job, { job: { attempts } }) => deliver(job as Sender.Job, attempts) }
        })
      ),
      (runner) => Effect.promise(() => runner.stop())
    )
    const utils = yield* Effect.acquireRelease(
      Effect.promise(() => makeWorkerUtils({ pgPool: pool, logger })),
      (utils) => Effect.promise(async () => utils.release())
    )
    const contender: Contender = {
      batch: 1,
      publish: {
        kind: "promise",
        run: ([event]) => {
          const jobs = event === undefined ? [] : jobsOf(event)
          const [job] = jobs
          return jobs.length === 1
            ? utils.addJob("send", job, { maxAttempts: 5 })
            : utils.addJobs(jobs.map((payload) => ({ identifier: "send", payload, maxAttempts: 5 })))
        }
      }
    }
    return contender
  })
