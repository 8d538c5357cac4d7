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

export interface BulkheadOptions {
  /** Deliveries in hand at once. */
  readonly places: number
  readonly placesPerWebhook: number
}

/** How many deliveries of a webhook the next claim may take. */
export interface Allotment {
  readonly webhookId: WebhookId
  readonly most: number
}

/** What one claim takes at most: the store's own bounds. */
export const claimMax = { deliveries: 500, webhooks: 100 }

const shareOfFree = 1 / 8
const reserved = 1 / 4

const quickMs = 1_000

/** Webhooks that are remembered as quick. */
const quickMax = 10_000

export class Bulkhead extends Context.Tag("deeper-hub-webhooks/runtime/Bulkhead")<Bulkhead, {
  /** For the first of these webhooks that may hold more, how many more; none where nothing fits. */
  readonly allot: (webhooks: Iterable<WebhookId>) => Effect.Effect<ReadonlyArray<Allotment>>
  /** Deliveries of these webhooks were claimed. */
  readonly enter: (webhooks: ReadonlyArray<WebhookId>) => Effect.Effect<void>
  /** One was dealt with. How long its attempt took; null where none was made. */
  readonly leave: (webhook: WebhookId, attemptMs: number | null) => Effect.Effect<void>
  readonly free: Effect.Effect<number>
}>() {
  static readonly layer = (options: BulkheadOptions) => Layer.sync(this, () => make(options))
}

const make = ({ places, placesPerWebhook }: BulkheadOptions) => {
  const held = new Map<WebhookId, number>()
  // The one that was quick last is last.
  const quick = new Set<WebhookId>()
  let free = places

  const reserve = Math.floor(places * reserved)
  const freeFor = (webhook: WebhookId, left: number): number => quick.has(webhook) ? left : left - reserve

  const room = (webhook: WebhookId, left: number): number =>
    Math.min(placesPerWebhook, Math.ceil(freeFor(webhook, left) * shareOfFree)) - (held.get(webhook) ?? 0)

  const firstWithRoom = (webhooks: Iterable<WebhookId>): ReadonlyArray<WebhookId> => {
    const ready: Array<WebhookId> = []
    if (free === 0) return ready
    for (const webhook of webhooks) {
      if (room(webhook, free) > 0 && ready.push(webhook) === claimMax.webhooks) break
    }
    return ready
  }

  const allot = (webhooks: Iterable<WebhookId>): ReadonlyArray<Allotment> => {
    const ready = firstWithRoom(webhooks)
    const share = Math.floor(claimMax.deliveries / Math.max(ready.length, 1))
    let left = free
    return ready.flatMap((webhookId) => {
      const most = Math.min(room(webhookId, left), share)
      if (most <= 0) return []
      left -= most
      return [{ webhookId, most }]
    })
  }

  const remember = (webhook: WebhookId, isQuick: boolean): void => {
    quick.delete(webhook)
    if (isQuick) quick.add(webhook)
    const oldest = quick.values().next()
    if (quick.size > quickMax && oldest.done !== true) quick.delete(oldest.value)
  }

  return Bulkhead.of({
    allot: (webhooks) => Effect.sync(() => allot(webhooks)),
    enter: (webhooks) =>
      Effect.sync(() => {
        free -= webhooks.length
        for (const webhook of webhooks) held.set(webhook, (held.get(webhook) ?? 0) + 1)
      }),
    leave: (webhook, attemptMs) =>
      Effect.sync(() => {
        free += 1
        const others = (held.get(webhook) ?? 1) - 1
        if (others === 0) held.delete(webhook)
        else held.set(webhook, others)
        if (attemptMs !== null) remember(webhook, attemptMs <= quickMs)
      }),
    free: Effect.sync(() => free)
  })
}
