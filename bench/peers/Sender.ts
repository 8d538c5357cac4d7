/** What one writes around a job queue to send webhooks: sign, POST, and write down what came of it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Pool } from "pg"
import { Agent, request } from "undici"
import * as AttemptLog from "../AttemptLog.ts"
import type { BenchEvent, Place } from "../Contender.ts"
import { bodyOf, headersOf } from "../Signed.ts"

/** One delivery, as a job carries it. */
export interface Job {
  readonly event: BenchEvent
  /** The number of the URL within its route. */
  readonly endpoint: number
}

export interface SenderOptions {
  /** Requests under way at once. */
  readonly concurrency: number
  readonly poolMax: number
  /** Whether attempts that end together are committed together; by hand, as no peer does it. */
  readonly groupsLog?: boolean
}

export interface Sender {
  readonly pool: Pool
  readonly jobsOf: (event: BenchEvent) => ReadonlyArray<Job>
  /** Sends it; the attempt is not on record yet. Throws what is to be tried again. */
  readonly post: (job: Job, number: number) => Promise<AttemptLog.Attempt>
  /** Sends it, and puts the attempt on record. */
  readonly deliver: (job: Job, number: number) => Promise<void>
}

/** As long as the service waits for an answer. */
const timeoutMs = 5_000

export const make = (place: Place, options: SenderOptions): Effect.Effect<Sender, never, Scope.Scope> =>
  Effect.gen(function*() {
    const pool = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const pool = new Pool({ connectionString: place.databaseUrl, max: options.poolMax })
        // Its server ends before it.
        pool.on("error", () => {})
        await AttemptLog.create(pool)
        return pool
      }),
      (pool) => Effect.promise(() => pool.end())
    )
    const agent = yield* Effect.acquireRelease(
      Effect.sync(() =>
        new Agent({
          connections: Math.max(options.concurrency, 64),
          pipelining: 1,
          keepAliveTimeout: 60_000,
          headersTimeout: timeoutMs,
          bodyTimeout: timeoutMs
        })
      ),
      (agent) => Effect.promise(() => agent.destroy())
    )
    const urls = new Map(place.routes.map((route) => [route.eventType, route.urls]))
    const post = makePost(agent, ({ endpoint, event }) => urls.get(event.type)?.[endpoint] ?? "")
    const record = options.groupsLog === true ? AttemptLog.byGroup(pool) : AttemptLog.byRow(pool)
    return {
      pool,
      jobsOf: (event) => (urls.get(event.type) ?? []).map((_, endpoint) => ({ event, endpoint })),
      post,
      deliver: async (job, number) => record(await post(job, number))
    }
  })

const makePost = (agent: Agent, urlOf: (job: Job) => string): Sender["post"] => async (job, number) => {
  const body = bodyOf(job.event)
  const { id } = job.event
  const started = performance.now()
  const answer = await request(urlOf(job), { method: "POST", dispatcher: agent, body, headers: headersOf(id, body) })
  await answer.body.dump()
  const { statusCode: code } = answer
  if (code >= 300) throw new Error(`answered ${code}`)
  return { eventId: id, endpoint: job.endpoint, number, code, durationMs: Math.round(performance.now() - started) }
}
