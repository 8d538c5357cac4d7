/** What a publish came to: from the rows that the database answers to each request's own, and to what is leased to this node. */
import * as Option from "effect/Option"
import type { Published } from "../domain/Event.ts"
import { type ClientId, type DeliveryId, fromUuid, type WebhookId } from "../domain/Ids.ts"
import type { Webhook } from "../domain/Webhook.ts"
import type { ClaimedDelivery } from "./Claim.ts"
import type { LeaseOffer, PublishRequest, StorableEvent } from "./PublishRequest.ts"

/** What was stored of a request, or where its idempotency key was used before, what had been. */
export interface Stored {
  /** In the order in which the events were handed over. */
  readonly published: ReadonlyArray<Published>
  /** Webhooks with a delivery that nobody is at work on yet. */
  readonly waiting: ReadonlyArray<WebhookId>
  /** Webhooks whose new delivery waits for an open circuit. */
  readonly circuitOpen: ReadonlyArray<WebhookId>
}

export interface Committed {
  /** One for each request, in their order; none where its idempotency key was used before. */
  readonly stored: ReadonlyArray<Option.Option<Stored>>
  /** What is leased to this node. */
  readonly leased: ReadonlyArray<ClaimedDelivery>
}

/** Deliveries to one webhook, or the events that nobody wants. Nothing in it comes from outside. */
export interface Row {
  readonly webhookId: string | null
  readonly hold: string | null
  /** Which of the events, counted from 1, with spaces in between. */
  readonly positions: string
  /** The delivery of each; null where nobody wants them. */
  readonly deliveryIds: string | null
  /** So many of them, the first, are leased. */
  readonly leasedCount: number
  /** Null where none is leased. */
  readonly url: string | null
  readonly signatures: Webhook["signatures"] | null
  readonly retryCount: number | null
  readonly timeoutMs: number | null
  readonly secretSealed: Uint8Array | null
  readonly previousSecretSealed: Uint8Array | null
  readonly headersSealed: Uint8Array | null
}

/** What became of one event; `deliveries` stays null where it was not accepted. */
interface Landing {
  readonly clientId: ClientId
  readonly event: StorableEvent
  readonly leased: Array<ClaimedDelivery>
  deliveries: Array<Published["deliveries"][number]> | null
  /** Of the whole request. */
  readonly found: Found
}

interface Found extends Stored {
  readonly published: Array<Published>
  readonly waiting: Array<WebhookId>
  readonly circuitOpen: Array<WebhookId>
}

export const committedOf = (
  requests: ReadonlyArray<PublishRequest>,
  rows: ReadonlyArray<Row>,
  lease: LeaseOffer | null
): Committed => {
  const landings = requests.map(({ clientId, events }) => {
    const found: Found = { published: [], waiting: [], circuitOpen: [] }
    return events.map((event): Landing => ({ clientId, event, leased: [], deliveries: null, found }))
  })
  const inOrder = landings.flat()
  for (const row of rows) note(inOrder, row, lease)
  return {
    stored: landings.map((ofRequest) => storedOf(ofRequest)),
    // By id, which is by chance: no webhook is always the first of its event's.
    leased: inOrder.flatMap(({ leased }) => leased.sort(byId))
  }
}

const note = (landings: ReadonlyArray<Landing>, row: Row, lease: LeaseOffer | null): void => {
  const webhookId = row.webhookId === null ? null : fromUuid("WebhookId", row.webhookId)
  const ids = row.deliveryIds?.split(" ") ?? []
  row.positions.split(" ").forEach((position, nth) => {
    const landing = landings[Number(position) - 1]
    if (landing === undefined) return
    landing.deliveries ??= []
    const uuid = ids[nth]
    if (webhookId === null || uuid === undefined) return
    const delivery = { id: fromUuid("DeliveryId", uuid), webhookId }
    const { clientId, deliveries, event, found, leased } = landing
    deliveries.push(delivery)
    if (row.hold === "circuit") found.circuitOpen.push(webhookId)
    if (nth >= row.leasedCount) {
      if (row.hold === null) found.waiting.push(webhookId)
      return
    }
    const claimed = lease === null ? null : claimedOf(clientId, event, delivery, row, lease.token)
    if (claimed !== null) leased.push(claimed)
  })
}

/** None where the request's key was used before: then none of its events was accepted. */
const storedOf = (landings: ReadonlyArray<Landing>): Option.Option<Stored> => {
  const [first] = landings
  if (first === undefined || first.deliveries === null) return Option.none()
  for (const { deliveries, event } of landings) {
    first.found.published.push({ eventId: event.id, deliveries: (deliveries ?? []).sort(byId) })
  }
  return Option.some(first.found)
}

/** A repetition is answered in the same order. */
const byId = (a: { readonly id: DeliveryId }, b: { readonly id: DeliveryId }): number => a.id < b.id ? -1 : 1

/** As it would have been claimed; null where the row tells of no sender. */
const claimedOf = (
  clientId: ClientId,
  { body, eventType, id: eventId, traceparent = null }: StorableEvent,
  { id, webhookId }: Published["deliveries"][number],
  { headersSealed, previousSecretSealed, retryCount, secretSealed, signatures, timeoutMs, url }: Row,
  leaseToken: string
): ClaimedDelivery | null => {
  if (retryCount === null || signatures === null || timeoutMs === null || url === null) return null
  return {
    id,
    leaseToken,
    probe: false,
    attemptCount: 0,
    chargedCount: 0,
    eventId,
    eventType,
    body,
    traceparent,
    webhookId,
    clientId,
    url,
    signatures,
    retryCount,
    timeoutMs,
    secretSealed,
    previousSecretSealed,
    headersSealed
  }
}
