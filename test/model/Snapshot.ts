/** What the database says of many clients, and whether it is what their models say. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { CircuitState } from "../../src/domain/Circuit.ts"
import type { AttemptResult, DeliveryStatus } from "../../src/domain/Delivery.ts"
import { type ClientId, toUuid, type WebhookId } from "../../src/domain/Ids.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import * as Model from "./Model.ts"

interface DeliveryRow {
  readonly clientId: ClientId
  readonly id: string
  readonly webhookId: string
  readonly status: DeliveryStatus
  readonly attemptCount: number
  readonly chargedCount: number
  readonly unknownCount: number
  readonly dueIn: number | null
  readonly leaseToken: string | null
  readonly leasedFor: number | null
  readonly hold: string | null
  readonly numbers: ReadonlyArray<number> | null
  readonly results: ReadonlyArray<AttemptResult> | null
}

interface WebhookRow {
  readonly clientId: ClientId
  readonly id: string
  readonly url: string
  readonly isActive: boolean
  readonly deactivationReason: string | null
  readonly isDeleted: boolean
  readonly circuit: CircuitState
  readonly circuitFor: number | null
  readonly circuitOpenings: number
  readonly circuitRamp: number | null
  readonly circuitRampSuccesses: number
  readonly failureCount: number
  readonly isFailing: boolean
  readonly windowAttempts: number
  readonly windowFailures: number
  readonly quarantined: number
}

export interface Snapshot {
  readonly deliveries: ReadonlyArray<DeliveryRow>
  readonly webhooks: ReadonlyArray<WebhookRow>
  /** Those that the walk finds, of all clients. */
  readonly due: ReadonlySet<WebhookId>
}

const walkMax = 10_000

export const take = (clients: ReadonlyArray<ClientId>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const store = yield* DeliveryStore
    const deliveries = sql<DeliveryRow>`
      SELECT d.client_id, d.id, d.webhook_id, d.status, d.attempt_count, d.charged_count, d.unknown_count,
        extract(epoch FROM d.next_retry_at - now())::float8 AS due_in, d.lease_token,
        extract(epoch FROM d.leased_until - now())::float8 AS leased_for,
        CASE WHEN d.next_retry_at <= now() AND d.lease_token IS NULL THEN webhook_hold(w) END AS hold,
        a.numbers, a.results
      FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
      LEFT JOIN (
        SELECT delivery_id, array_agg(number ORDER BY number) AS numbers, array_agg(result ORDER BY number) AS results
        FROM attempts GROUP BY delivery_id
      ) a ON a.delivery_id = d.id
      WHERE d.client_id = ANY(${clients})
    `
    const webhooks = sql<WebhookRow>`
      SELECT w.client_id, w.id, w.url, w.is_active, w.deactivation_reason, w.deleted_at IS NOT NULL AS is_deleted,
        w.circuit, extract(epoch FROM w.circuit_until - now())::float8 AS circuit_for, w.circuit_openings,
        w.circuit_ramp, w.circuit_ramp_successes, w.failure_count, w.failing_since IS NOT NULL AS is_failing,
        w.window_attempts, w.window_failures, coalesce(q.occurrences, 0) AS quarantined
      FROM webhooks w LEFT JOIN alerts q ON q.webhook_id = w.id AND q.kind = 'delivery_quarantined'
      WHERE w.client_id = ANY(${clients})
    `
    const all = { deliveries, webhooks, walked: store.dueWebhooks(null, walkMax) }
    const rows = yield* Effect.all(all, { concurrency: "unbounded" })
    assert.isNull(rows.walked.next, "the walk goes to the end")
    const due = new Set(rows.walked.webhooks)
    const [itsDeliveries, itsWebhooks] = [byClient(rows.deliveries), byClient(rows.webhooks)]
    return (clientId: ClientId): Snapshot => ({
      deliveries: itsDeliveries.get(clientId) ?? [],
      webhooks: itsWebhooks.get(clientId) ?? [],
      due
    })
  })

const byClient = <A extends { readonly clientId: ClientId }>(
  rows: ReadonlyArray<A>
): ReadonlyMap<ClientId, Array<A>> => {
  const groups = new Map<ClientId, Array<A>>()
  for (const row of rows) {
    const group = groups.get(row.clientId)
    if (group === undefined) groups.set(row.clientId, [row])
    else group.push(row)
  }
  return groups
}

/** Whole ticks: what the test itself took is less than one. (The nought that is added makes -0 a 0.) */
const ticks = (seconds: number | null): number | null =>
  seconds === null ? null : Math.ceil(seconds / Model.tickSeconds) + 0

const left = ({ now }: Model.Model, at: number | null | undefined): number | null =>
  at === null || at === undefined ? null : ticks(at - now)

const deliveryOf = (model: Model.Model, delivery: Model.Delivery) => ({
  id: toUuid(delivery.id),
  webhook: toUuid(delivery.webhook.id),
  status: delivery.status,
  results: delivery.results,
  numbers: delivery.results.map((_, i) => i + 1),
  attempts: delivery.results.length,
  charged: delivery.charged,
  unknown: delivery.unknown,
  due: left(model, delivery.due?.at),
  lease: delivery.lease?.token ?? null,
  leased: left(model, delivery.lease?.until),
  hold: Model.waiting(model, delivery.webhook).includes(delivery) ? Model.hold(model, delivery.webhook) : null
})

const deliveryIn = (row: DeliveryRow): ReturnType<typeof deliveryOf> => ({
  id: row.id,
  webhook: row.webhookId,
  status: row.status,
  results: [...row.results ?? []],
  numbers: [...row.numbers ?? []],
  attempts: row.attemptCount,
  charged: row.chargedCount,
  unknown: row.unknownCount,
  due: ticks(row.dueIn),
  lease: row.leaseToken,
  leased: ticks(row.leasedFor),
  hold: row.hold as "deactivated" | "circuit" | null
})

const webhookOf = (model: Model.Model, webhook: Model.Webhook) => ({
  id: toUuid(webhook.id),
  url: webhook.url,
  isActive: webhook.isActive,
  reason: webhook.reason as string | null,
  isDeleted: webhook.isDeleted,
  circuit: webhook.circuit,
  until: left(model, webhook.until),
  failuresInARow: webhook.failuresInARow,
  isFailing: webhook.isFailing,
  window: [webhook.windowAttempts, webhook.windowFailures],
  quarantined: webhook.quarantined,
  isDue: Model.hold(model, webhook) === null && Model.waiting(model, webhook).length > 0
})

const webhookIn = (due: boolean, row: WebhookRow): ReturnType<typeof webhookOf> => ({
  id: row.id,
  url: row.url,
  isActive: row.isActive,
  reason: row.deactivationReason,
  isDeleted: row.isDeleted,
  circuit: {
    state: row.circuit,
    openings: row.circuitOpenings,
    ramp: row.circuitRamp,
    rampSuccesses: row.circuitRampSuccesses
  },
  until: ticks(row.circuitFor),
  failuresInARow: row.failureCount,
  isFailing: row.isFailing,
  window: [row.windowAttempts, row.windowFailures],
  quarantined: row.quarantined,
  isDue: due
})

type Row = Readonly<Record<string, unknown>> & { readonly id: string }

/** Each thing that differs, once: it is read in the report of a sequence that was found. */
const differences = (what: string, service: ReadonlyArray<Row>, model: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const [mine, theirs] = [model, service].map((rows) => new Map(rows.map((row) => [row.id, row])))
  const ids = new Set([...service, ...model].map(({ id }) => id))
  return Array.from(ids).flatMap((id) => {
    const [stored, modelled] = [theirs?.get(id), mine?.get(id)]
    if (stored === undefined || modelled === undefined) {
      return [`${what} ${id} is only in the ${stored ? "service" : "model"}`]
    }
    return Object.keys(stored).flatMap((key) => {
      const [is, should] = [JSON.stringify(stored[key]), JSON.stringify(modelled[key])]
      return is === should ? [] : [`${what} ${id}: ${key} is ${is}, and ${should} in the model`]
    })
  })
}

/** Fails where they differ: a delivery that is lost or was not asked for differs, too. */
export const agree = (model: Model.Model, snapshot: Snapshot): void => {
  const due = new Set(Array.from(snapshot.due, toUuid))
  const different = differences(
    "delivery",
    snapshot.deliveries.map(deliveryIn),
    Array.from(model.deliveries.values(), (delivery) => deliveryOf(model, delivery))
  ).concat(differences(
    "webhook",
    snapshot.webhooks.map((row) => webhookIn(due.has(row.id), row)),
    model.webhooks.map((webhook) => webhookOf(model, webhook))
  ))
  assert.isEmpty(different.join("; "), different.join("; "))
}
