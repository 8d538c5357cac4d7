/** BullMQ: the jobs are in a Redis that syncs every write, the attempt log is in Postgres. */
import { Queue, Worker } from "bullmq"
import * as Effect from "effect/Effect"
import { Redis } from "ioredis"
import type { Contender, Make } from "../Contender.ts"
import * as Sender from "./Sender.ts"

export interface BullMqOptions {
  readonly groupsLog: boolean
}

const queueName = "webhook"

export const make = ({ groupsLog }: BullMqOptions): Make => (place) =>
  Effect.gen(function*() {
    const atOnce = groupsLog ? { instant: 100, slow: 300 } : { instant: 50, slow: 200 }
    const concurrency = place.answersAfterMs > 0 ? atOnce.slow : atOnce.instant
    const { deliver, jobsOf } = yield* Sender.make(place, { concurrency, poolMax: 20, groupsLog })
    const connect = Effect.acquireRelease(
      Effect.sync(() => {
        const redis = new Redis(place.redisPort, "127.0.0.1", { maxRetriesPerRequest: null })
        redis.on("error", () => {})
        return redis
      }),
      (redis) => Effect.sync(() => redis.disconnect())
    )
    const [forJobs, forWorker] = [yield* connect, yield* connect]
    const queue = yield* Effect.acquireRelease(
      Effect.sync(() =>
        new Queue<Sender.Job>(queueName, {
          connection: forJobs,
          defaultJobOptions: { attempts: 5, backoff: { type: "exponential", delay: 1_000 }, removeOnComplete: true }
        })
      ),
      (queue) => Effect.promise(() => queue.close())
    )
    yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const worker = new Worker<Sender.Job>(
          queueName,
          ({ attemptsMade, data }) => deliver(data, attemptsMade + 1),
          { connection: forWorker, concurrency, drainDelay: 5 }
        )
        worker.on("error", () => {})
        await worker.waitUntilReady()
        return worker
      }),
      (worker) => Effect.promise(() => worker.close(true))
    )
    const contender: Contender = {
      batch: 1,
      publish: {
        kind: "promise",
        run: ([event]) => {
          const jobs = event === undefined ? [] : jobsOf(event)
          const [job] = jobs
          return jobs.length === 1 && job !== undefined
            ? queue.add("send", job)
            : queue.addBulk(jobs.map((data) => ({ name: "send", data })))
        }
      }
    }
    return contender
  })
