/**
 * What plain Node and Postgres can do at most with the service's promise: durable publish by group commit, `dispatch` of
 * undici, outcomes in batches. Either sent from memory, or claimed with a lease each time. It has no features.
 */
// @effect-diagnostics globalTimers:off
import * as Effect from "effect/Effect"
import { Pool } from "pg"
import * as AttemptLog from "../AttemptLog.ts"
import type { Contender, Make, Place } from "../Contender.ts"
import type { BenchEvent } from "../Contender.ts"
import * as Lane from "../Lane.ts"
import { bodyOf } from "../Signed.ts"
import * as RawSender from "./RawSender.ts"
import * as RawSql from "./RawSql.ts"

export interface RawOptions {
  /** Whether every delivery is claimed from Postgres before it is sent. */
  readonly claims: boolean
}

/** Deliveries kept in memory; those beyond are due at once and claimed. */
const memoryMax = 5_000
const claimMax = 500
const claimEveryMs = 200
const leaseSeconds = 60

let lastId = Math.floor(performance.timeOrigin) * 1_000

const eventOf = ({ routes }: Place, event: BenchEvent): RawSql.RawEvent => {
  const body = bodyOf(event)
  const urls = routes.find(({ eventType }) => eventType === event.type)?.urls ?? []
  return {
    event,
    body,
    deliveries: urls.map((url, endpoint) => ({ id: ++lastId, eventId: event.id, endpoint, url, body }))
  }
}

interface Waiting {
  readonly event: RawSql.RawEvent
  readonly stored: () => void
  readonly failed: (error: unknown) => void
}

const start = (pool: Pool, place: Place, { claims }: RawOptions) => {
  // As many as arrive while a receiver thinks; what answers at once needs few.
  const concurrency = place.answersAfterMs > 0 ? 512 : 128
  let isClaiming = false
  // Whether something lies in Postgres that nobody has in memory.
  let isBehind = claims

  const claim = async () => {
    if (isClaiming) return
    isClaiming = true
    const { rows } = await pool.query<RawSql.RawDelivery>(RawSql.claim(claimMax))
    isClaiming = false
    isBehind = claims || rows.length === claimMax
    if (rows.length > 0) sender.add(rows)
  }
  const record = Lane.make<RawSql.RawOutcome>(async (batch) => void (await pool.query(RawSql.record(batch))))
  const sender = RawSender.make({
    concurrency,
    done: record,
    idle: () => {
      if (isBehind) void claim()
    }
  })
  const publish = Lane.make<Waiting>(async (batch) => {
    const isOurs = !claims && sender.waiting() < memoryMax
    const events = batch.map(({ event }) => event)
    try {
      await pool.query(RawSql.publish(events, isOurs ? leaseSeconds : 0))
    } catch (error) {
      for (const { failed } of batch) failed(error)
      return
    }
    for (const { stored } of batch) stored()
    if (isOurs) return sender.add(events.flatMap(({ deliveries }) => deliveries))
    isBehind = true
    if (sender.waiting() < concurrency) void claim()
  })
  const timer = setInterval(() => void claim(), claimEveryMs)
  return {
    publish: (event: BenchEvent) =>
      new Promise<void>((stored, failed) => publish({ event: eventOf(place, event), stored, failed })),
    close: async () => {
      clearInterval(timer)
      await sender.close()
    }
  }
}

export const make = (options: RawOptions): Make => (place) =>
  Effect.gen(function*() {
    const pool = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const pool = new Pool({ connectionString: place.databaseUrl, max: 4 })
        await AttemptLog.create(pool)
        await pool.query(RawSql.ddl)
        return pool
      }),
      (pool) => Effect.promise(() => pool.end())
    )
    const running = yield* Effect.acquireRelease(
      Effect.sync(() => start(pool, place, options)),
      ({ close }) => Effect.promise(close)
    )
    const contender: Contender = {
      batch: 1,
      publish: {
        kind: "promise",
        run: ([event]) => event === undefined ? Promise.resolve() : running.publish(event)
      }
    }
    return contender
  })
