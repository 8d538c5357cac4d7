/** The day partitions of events, deliveries and attempts. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { PersistenceError } from "./Postgres.ts"

/** Days made ahead: how long the service may run without making any and still store events. */
const daysAhead = 14
/** Days made behind: a node whose clock is slow makes ids of yesterday. */
const daysBehind = 1

const distances = Array.from({ length: daysBehind + 1 + daysAhead }, (_, index) => index - daysBehind)

export class Partitions extends Context.Tag("deeper-hub-webhooks/persistence/Partitions")<Partitions, {
  /** Makes the partitions around the database's today that are not there yet. */
  readonly ensure: Effect.Effect<void, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      // Each day by itself: no statement is long, and none holds its locks for all of them.
      const ensureDay = (distance: number) =>
        sql`
          SELECT ensure_partitions(day, day)
          FROM (SELECT (now() AT TIME ZONE 'UTC')::date + ${distance}::int) AS wanted (day)
        `
      return Partitions.of({
        ensure: Effect.forEach(distances, ensureDay, { discard: true }).pipe(
          PersistenceError.refail("Partitions.ensure")
        )
      })
    })
  )
}
