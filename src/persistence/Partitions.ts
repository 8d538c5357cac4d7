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

export class Partitions extends Context.Tag("deeper-hub-webhooks/persistence/Partitions")<Partitions, {
  /** Makes the partitions around the database's today that are not there yet. */
  readonly ensure: Effect.Effect<void, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      return Partitions.of({
        ensure: sql`
          SELECT ensure_partitions(
            (now() AT TIME ZONE 'UTC')::date - ${daysBehind}::int, (now() AT TIME ZONE 'UTC')::date + ${daysAhead}::int)
        `.pipe(Effect.asVoid, PersistenceError.refail("Partitions.ensure"))
      })
    })
  )
}
