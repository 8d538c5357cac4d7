/** What a repeated publish is answered: what the first request with its idempotency key had been. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Published } from "../domain/Event.ts"
import { ClientId, type EventId } from "../domain/Ids.ts"
import { DeliveryUuid, EventUuid, WebhookUuid } from "./Columns.ts"
import type { Stored } from "./Committed.ts"
import type { PublishRequest } from "./PublishRequest.ts"

/** The idempotency key was used before, for another request. */
export class IdempotencyConflict extends Data.TaggedError("IdempotencyConflict")<{ readonly key: string }> {}

const known = (sql: SqlClient) =>
  SqlSchema.findOne({
    Request: Schema.Struct({ clientId: ClientId, key: Schema.String }),
    Result: Schema.Struct({ requestHash: Schema.Uint8ArrayFromSelf, eventIds: Schema.Array(EventUuid) }),
    execute: ({ clientId, key }) =>
      sql`SELECT request_hash, event_ids FROM idempotency_keys WHERE client_id = ${clientId} AND key = ${key}`
  })

const PublishedRow = Schema.Struct({
  eventId: EventUuid,
  deliveryId: Schema.NullOr(DeliveryUuid),
  webhookId: Schema.NullOr(WebhookUuid)
})

const deliveriesOf = (sql: SqlClient) =>
  SqlSchema.findAll({
    Request: Schema.Struct({ clientId: ClientId, ids: Schema.Array(EventUuid) }),
    Result: PublishedRow,
    execute: ({ clientId, ids }) =>
      sql`
        SELECT e.id AS event_id, d.id AS delivery_id, d.webhook_id
        FROM unnest(${ids}::uuid[]) AS e (id)
        LEFT JOIN deliveries d ON d.event_id = e.id AND d.client_id = ${clientId}
        ORDER BY d.id
      `
  })

/** What the first request with this idempotency key was answered; none where the key is free again. */
export const replay = (sql: SqlClient) => {
  const statements = { known: known(sql), deliveriesOf: deliveriesOf(sql) }
  return (
    { clientId, idempotency }: PublishRequest
  ): Effect.Effect<Option.Option<Stored>, IdempotencyConflict | SqlError | ParseError> =>
    Effect.gen(function*() {
      if (idempotency === null) return Option.none()
      const first = yield* statements.known({ clientId, key: idempotency.key })
      if (Option.isNone(first)) return Option.none()
      const { eventIds, requestHash } = first.value
      if (Buffer.compare(requestHash, idempotency.requestHash) !== 0) {
        return yield* new IdempotencyConflict({ key: idempotency.key })
      }
      const rows = yield* statements.deliveriesOf({ clientId, ids: eventIds })
      return Option.some({ published: byEventOf(eventIds, rows), waiting: [], circuitOpen: [] })
    })
}

/** One answer for each event, in the order in which they were handed over. */
const byEventOf = (
  ids: ReadonlyArray<EventId>,
  rows: ReadonlyArray<typeof PublishedRow.Type>
): ReadonlyArray<Published> => {
  const deliveries = new Map(ids.map((id) => [id, new Array<Published["deliveries"][number]>()]))
  for (const { deliveryId, eventId, webhookId } of rows) {
    if (deliveryId !== null && webhookId !== null) deliveries.get(eventId)?.push({ id: deliveryId, webhookId })
  }
  return ids.map((eventId) => ({ eventId, deliveries: deliveries.get(eventId) ?? [] }))
}
