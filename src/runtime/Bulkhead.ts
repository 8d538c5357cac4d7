/**
 * How many deliveries this node has in hand, in all and of each webhook, so that receivers which keep their attempts
 * waiting take nothing from those that don't. An attempt that waits for a receiver costs little, so there are many
 * places; what is scarce is not to have them all taken.
 *
 * - A webhook may hold an eighth of the places that are free, and never more than its cap. The more of them want places,
 *   the fewer each may hold, and some are always left; alone a webhook comes to a ninth, so a cap above that has no effect. (Choudhury and Hahne, "Dynamic queue
 *   length thresholds", 1998.)
 * - The last quarter is kept for webhooks whose latest attempt was quick. A receiver that never answers, or drips its
 *   answer out, has lost its claim to it with its first attempt; a 500 in ten milliseconds is no burden.
 *
 * All of this is of one node and one process's life: nothing is lost when it is forgotten.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { WebhookId } from "../domain/Ids.ts"
import { Places, type PlacesOptions, type Reservation } from "./Places.ts"

/** How many deliveries of a webhook the next claim may take. */
export interface Allotment {
  readonly webhookId: WebhookId
  readonly most: number
}

/**
 * What one claim takes at most. Nothing beneath asks whether it is less. Twice as many at once drain a backlog a third faster,
 * and keep whoever publishes meanwhile waiting for longer.
 */
export const claimMax = { deliveries: 32, webhooks: 16 }

/** Deliveries of one event that are sent without a claim; those of a larger fan-out are claimed. */
const placesPerEvent = 8
const placesPerPublishMin = 16

/** Of what a webhook may hold: the rest is left to claims, which would wait for ever behind publishes that never pause. */
const shareOfPublishes = 1 / 2

export class Bulkhead extends Context.Tag("deeper-hub-webhooks/runtime/Bulkhead")<Bulkhead, {
  /** Sets places aside for the first of these webhooks that may hold more; none where nothing fits. */
  readonly allot: (webhooks: Iterable<WebhookId>) => Effect.Effect<ReadonlyArray<Allotment>>
  /** Sets places aside for the deliveries of so many events; null where none are to be had. */
  readonly reserve: (events: number) => Effect.Effect<Reservation | null>
  /** What was set aside is free again, but for what deliveries of these webhooks took of it. */
  readonly settle: (reservation: Reservation, webhooks: ReadonlyArray<WebhookId>) => Effect.Effect<void>
  /** What was allotted is free again, but for what deliveries of these webhooks took of it: they were claimed. */
  readonly enter: (allotted: ReadonlyArray<Allotment>, webhooks: ReadonlyArray<WebhookId>) => Effect.Effect<void>
  /** One was dealt with. How long its attempt took; null where none was made. A plain step: it ends every attempt. */
  readonly leave: (webhook: WebhookId, attemptMs: number | null) => void
  readonly free: Effect.Effect<number>
  /** Sets nothing aside from now on: what is not in hand yet stays in Postgres. For the end of the service. */
  readonly close: Effect.Effect<void>
}>() {
  static readonly layer = (options: PlacesOptions) => Layer.sync(this, () => make(options))
}

const make = (options: PlacesOptions) => {
  const places = new Places(options)
  let isClosed = false

  const reservation = (events: number): Reservation | null => {
    const most = Math.ceil(places.shareOfUnknown * shareOfPublishes) - places.promised
    if (isClosed || places.unreserved === 0 || most <= 0) return null
    const mostPerWebhook = Math.min(events, most)
    return {
      places: Math.min(places.unreserved, Math.max(events * placesPerEvent, placesPerPublishMin)),
      mostPerWebhook,
      limited: Array.from(places.holders, (webhookId) => ({ webhookId, most: places.room(webhookId, places.free) }))
        .filter(({ most }) => most < mostPerWebhook)
        .map(({ most, webhookId }) => ({ webhookId, most: Math.max(0, most) }))
    }
  }

  return Bulkhead.of({
    reserve: (events) =>
      Effect.sync(() => {
        const made = reservation(events)
        if (made !== null) places.promise(made)
        return made
      }),
    settle: (made, webhooks) =>
      Effect.sync(() => {
        places.settle(made)
        for (const webhook of webhooks) places.take(webhook, 1)
      }),
    allot: (webhooks) =>
      Effect.sync(() => {
        const allotted = isClosed ? [] : allotmentsOf(places, webhooks)
        for (const { most, webhookId } of allotted) places.take(webhookId, most)
        return allotted
      }),
    enter: (allotted, webhooks) =>
      Effect.sync(() => {
        for (const { most, webhookId } of allotted) places.take(webhookId, -most)
        for (const webhook of webhooks) places.take(webhook, 1)
      }),
    leave: (webhook, attemptMs) => {
      places.take(webhook, -1)
      if (attemptMs !== null) places.remember(webhook, attemptMs)
    },
    free: Effect.sync(() => places.free),
    close: Effect.sync(() => {
      isClosed = true
    })
  })
}

const firstWithRoom = (places: Places, webhooks: Iterable<WebhookId>): ReadonlyArray<WebhookId> => {
  const ready: Array<WebhookId> = []
  if (places.free === 0) return ready
  for (const webhook of webhooks) {
    if (places.room(webhook, places.free) > 0 && ready.push(webhook) === claimMax.webhooks) break
  }
  return ready
}

const allotmentsOf = (places: Places, webhooks: Iterable<WebhookId>): ReadonlyArray<Allotment> => {
  const ready = firstWithRoom(places, webhooks)
  const share = Math.floor(claimMax.deliveries / Math.max(ready.length, 1))
  let left = places.free
  return ready.flatMap((webhookId) => {
    const most = Math.min(places.room(webhookId, left), share)
    if (most <= 0) return []
    left -= most
    return [{ webhookId, most }]
  })
}
