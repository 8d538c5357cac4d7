/**
 * Time passes for some clients and for nobody else: whatever the database decides by its clock is moved into the past.
 * That needs no waiting, and what is due then is due as if it had been waited for.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect } from "effect"
import type { ClientId } from "../../src/domain/Ids.ts"

export interface Passing {
  readonly clientId: ClientId
  readonly seconds: number
}

export const passTimes = (passing: ReadonlyArray<Passing>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql`
      WITH passed AS (
        SELECT client_id, make_interval(secs => seconds) AS by FROM unnest(
          ${passing.map(({ clientId }) => clientId)}::text[], ${passing.map(({ seconds }) => seconds)}::float8[]
        ) AS p (client_id, seconds)
      ), endpoints AS (
        UPDATE webhooks w SET
          circuit_until = circuit_until - by, window_started_at = window_started_at - by,
          failing_since = failing_since - by, deactivated_at = deactivated_at - by, heal_at = heal_at - by,
          last_check_at = last_check_at - by, last_successful_delivery_at = last_successful_delivery_at - by,
          last_failure_at = last_failure_at - by
        FROM passed p WHERE w.client_id = p.client_id
      )
      UPDATE deliveries d SET next_retry_at = next_retry_at - by, leased_until = leased_until - by
      FROM passed p WHERE d.client_id = p.client_id
    `)

export const passTime = (clientId: ClientId, seconds: number) => passTimes([{ clientId, seconds }])
