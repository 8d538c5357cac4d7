/**
 * The bodies of the routes on which events come in, read and written without their schemas, which take as long as all else
 * that is done with such a request. What is not read here the schema reads, and it says what is wrong.
 */
import * as Schema from "effect/Schema"
import type { Published } from "../domain/Event.ts"
import { EventTypeName } from "../domain/EventType.ts"
import { ClientId } from "../domain/Ids.ts"
import { isObject, type Json } from "../domain/Json.ts"
import { type Batch, batchMax, type NewEvent } from "./EventsApi.ts"

const isEventType = Schema.is(EventTypeName)
const isClientId = Schema.is(ClientId)

/** An event as nearly everybody spells it; null is for the schema. `json` is what the strict reader made of a text. */
export const readOne = (json: Json): typeof NewEvent.Type | null => {
  if (!isObject(json)) return null
  const { client_id: clientId, event_type: eventType, payload } = json
  const members = clientId === undefined ? 2 : 3
  if (payload === undefined || !isObject(payload) || Object.keys(json).length !== members) return null
  if (typeof eventType !== "string" || !isEventType(eventType)) return null
  if (clientId === undefined) return { eventType, payload }
  return typeof clientId === "string" && isClientId(clientId) ? { clientId, eventType, payload } : null
}

const isArray = (json: Json | undefined): json is ReadonlyArray<Json> => Array.isArray(json)

/** The same for many events. */
export const readBatch = (json: Json): typeof Batch.Type | null => {
  if (!isObject(json) || !isArray(json["events"]) || Object.keys(json).length !== 1) return null
  const events: Array<typeof NewEvent.Type> = []
  for (const item of json["events"]) {
    const event = readOne(item)
    if (event === null) return null
    events.push(event)
  }
  const [first, ...rest] = events
  return first === undefined || events.length > batchMax ? null : { events: [first, ...rest] }
}

export const writeOne = (published: Published): string => JSON.stringify(resourceOf(published))

export const writeBatch = ({ data }: { readonly data: ReadonlyArray<Published> }): string =>
  JSON.stringify({ data: data.map(resourceOf) })

const resourceOf = ({ deliveries, eventId }: Published) => ({
  event_id: eventId,
  deliveries: deliveries.map(({ id, webhookId }) => ({ id, webhook_id: webhookId }))
})
