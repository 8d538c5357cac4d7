/** The circuits of webhooks: a change is written where the circuit still is what it was decided on. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Change, Circuit } from "../domain/Circuit.ts"
import { toUuid, type WebhookId } from "../domain/Ids.ts"
import { WebhookUuid } from "./Columns.ts"
import { PersistenceError } from "./Postgres.ts"

export interface CircuitChange extends Change {
  readonly webhookId: WebhookId
  readonly from: Circuit
  /** Of the circuit that was decided on: another one may be equal to it in all else. */
  readonly version: number
}

export class CircuitStore extends Context.Tag("deeper-hub-webhooks/persistence/CircuitStore")<CircuitStore, {
  /**
   * Of each webhook one change. Answers those whose circuit was as decided on; where somebody else had changed it, what
   * they saw decides, and the next attempt tells more.
   */
  readonly change: (changes: ReadonlyArray<CircuitChange>) => Effect.Effect<ReadonlySet<WebhookId>, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.map(SqlClient.SqlClient, (sql) =>
      CircuitStore.of({
        change: (changes) =>
          sql`
            UPDATE webhooks w SET
              circuit = c.state,
              circuit_version = w.circuit_version + 1,
              circuit_until = now() + c.pause_ms * interval '1 millisecond',
              circuit_openings = c.openings,
              circuit_ramp = c.ramp,
              circuit_ramp_successes = c.ramp_successes,
              -- What it was judged by is done with.
              window_attempts = CASE WHEN w.circuit = c.state THEN w.window_attempts ELSE 0 END,
              window_failures = CASE WHEN w.circuit = c.state THEN w.window_failures ELSE 0 END,
              window_duration_ms = CASE WHEN w.circuit = c.state THEN w.window_duration_ms ELSE 0 END
            FROM unnest(
              ${changes.map(({ webhookId }) => toUuid(webhookId))}::uuid[],
              ${changes.map(({ version }) => version)}::int[],
              ${changes.map(({ circuit }) => circuit.state)}::text[],
              ${changes.map(({ circuit }) => circuit.openings)}::int[],
              ${changes.map(({ circuit }) => circuit.ramp)}::int[],
              ${changes.map(({ circuit }) => circuit.rampSuccesses)}::int[],
              ${changes.map(({ pauseMs }) => pauseMs)}::float8[]
            ) AS c (id, version, state, openings, ramp, ramp_successes, pause_ms)
            WHERE w.id = c.id AND w.circuit_version = c.version
            RETURNING w.id
          `.pipe(
            Effect.flatMap(decode),
            Effect.map((rows) => new Set(rows.map(({ id }) => id))),
            PersistenceError.refail("CircuitStore.change")
          )
      }))
  )
}

const decode = Schema.decodeUnknown(Schema.Array(Schema.Struct({ id: WebhookUuid })))
