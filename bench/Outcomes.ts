/** What counts as done: a delivery whose outcome is in Postgres, with an attempt on record. Never what was merely received. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Failure } from "./Failure.ts"
import type { Sql } from "./Sql.ts"

/** Two statements; $1 is the moment from which on rows count. */
export interface Outcomes {
  /** Cheap: how many deliveries have their outcome. */
  readonly recorded: string
  /** Thorough: how many deliveries have one, with the attempt that made it, and how many such attempts there are. */
  readonly verified: string
}

export const ofService: Outcomes = {
  recorded: `SELECT count(*)::int AS recorded FROM deliveries
    WHERE status = 'delivered' AND id >= uuid_v7_floor($1::timestamptz)`,
  verified: `SELECT count(DISTINCT d.id)::int AS recorded, count(*)::int AS attempts
    FROM deliveries d JOIN attempts a ON a.delivery_id = d.id AND a.result = 'success'
    WHERE d.status = 'delivered' AND d.id >= uuid_v7_floor($1::timestamptz) AND a.id >= uuid_v7_floor($1::timestamptz)`
}

/** Of senders that keep an attempt log of their own. */
export const ofAttemptLog: Outcomes = {
  recorded: "SELECT count(*)::int AS recorded FROM delivery_attempts WHERE at >= $1::timestamptz",
  verified: `SELECT count(DISTINCT (event_id, endpoint))::int AS recorded, count(*)::int AS attempts
    FROM delivery_attempts WHERE code = 200 AND at >= $1::timestamptz`
}

/** The database's time, as text: a millisecond has all its digits. */
export const now = (sql: Sql) =>
  Effect.map(sql.row(Schema.Struct({ now: Schema.String }), "SELECT now()::text AS now"), (row) => row.now)

const Recorded = Schema.Struct({ recorded: Schema.Int })

const count = (sql: Sql, { recorded }: Outcomes, since: string) =>
  Effect.map(sql.row(Recorded, recorded, [since]), (row) => row.recorded)

/** Waits until so many are recorded. */
export const awaited = (
  sql: Sql,
  outcomes: Outcomes,
  since: string,
  wanted: number,
  patience: Duration.DurationInput
) =>
  count(sql, outcomes, since).pipe(
    Effect.repeat({ until: (recorded) => recorded >= wanted, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutTo({
      duration: patience,
      onSuccess: Effect.succeed,
      onTimeout: () => late(sql, outcomes, since, wanted, patience)
    }),
    Effect.flatten
  )

const late = (
  sql: Sql,
  outcomes: Outcomes,
  since: string,
  wanted: number,
  patience: Duration.DurationInput
) =>
  Effect.flatMap(count(sql, outcomes, since), (recorded) =>
    new Failure({
      problem: `${recorded} of ${wanted} deliveries were recorded within ${Duration.format(patience)}`,
      advice: "Run it again with --quick; if that fails too, deliveries are lost"
    }))

const Verified = Schema.Struct({ recorded: Schema.Int, attempts: Schema.Int })

/** Fails unless every delivery has its outcome; answers how many were made more than once. */
export const verify = (sql: Sql, { verified }: Outcomes, since: string, wanted: number) =>
  Effect.flatMap(sql.row(Verified, verified, [since]), ({ attempts, recorded }) =>
    recorded === wanted
      ? Effect.succeed({ repeated: attempts - recorded })
      : new Failure({
        problem: `${wanted} deliveries were published, and ${recorded} have an outcome with its attempt`,
        advice: "That is a fault of the contender, and its figures are void"
      }))
