/**
 * The places of the Bulkhead: who holds how many, and how many a webhook may hold of what is free. All of this is of one
 * node and one process's life: nothing is lost when it is forgotten.
 */
import type { WebhookId } from "../domain/Ids.ts"

export interface PlacesOptions {
  /** Deliveries in hand at once. */
  readonly places: number
  readonly placesPerWebhook: number
}

/** Places set aside for a publish under way: what it commits may be sent at once. */
export interface Reservation {
  readonly places: number
  readonly mostPerWebhook: number
  /** Webhooks that may not hold so many more, and how many. */
  readonly limited: ReadonlyArray<{ readonly webhookId: WebhookId; readonly most: number }>
}

const shareOfFree = 1 / 8
const reservedShare = 1 / 4

const quickMs = 1_000

/** Webhooks that are remembered as quick. */
const quickMax = 10_000

export class Places {
  readonly #held = new Map<WebhookId, number>()
  /** The one that has been quick for longest is first. */
  readonly #quick = new Set<WebhookId>()
  readonly #perWebhook: number
  readonly #reserved: number
  #free: number
  /** What publishes under way may yet add to what any webhook holds, but for those of which they may have fewer. */
  #promised = 0
  readonly #leftOut = new Map<WebhookId, number>()

  constructor({ places, placesPerWebhook }: PlacesOptions) {
    this.#free = places
    this.#reserved = Math.floor(places * reservedShare)
    this.#perWebhook = placesPerWebhook
  }

  get free(): number {
    return this.#free
  }

  /** Of what is free, what is not kept for quick webhooks. */
  get unreserved(): number {
    return Math.max(0, this.#free - this.#reserved)
  }

  get promised(): number {
    return this.#promised
  }

  get holders(): Iterable<WebhookId> {
    return this.#held.keys()
  }

  /** How many a webhook of which nothing is known may hold. */
  get shareOfUnknown(): number {
    return this.#share(this.unreserved)
  }

  /** How many more it may hold, were so many free. */
  room(webhook: WebhookId, free: number): number {
    const share = this.#share(this.#quick.has(webhook) ? free : free - this.#reserved)
    return share - (this.#held.get(webhook) ?? 0) - this.#promised + (this.#leftOut.get(webhook) ?? 0)
  }

  /** A negative number gives places back. */
  take(webhook: WebhookId, places: number): void {
    this.#free -= places
    add(this.#held, webhook, places)
  }

  promise(reservation: Reservation): void {
    this.#setAside(reservation, 1)
  }

  settle(reservation: Reservation): void {
    this.#setAside(reservation, -1)
  }

  /** How long its latest attempt took. */
  remember(webhook: WebhookId, attemptMs: number): void {
    if (attemptMs > quickMs) this.#quick.delete(webhook)
    else this.#quick.add(webhook)
    const oldest = this.#quick.values().next()
    if (this.#quick.size > quickMax && oldest.done !== true) this.#quick.delete(oldest.value)
  }

  #setAside({ limited, mostPerWebhook, places }: Reservation, sign: 1 | -1): void {
    this.#free -= sign * places
    this.#promised += sign * mostPerWebhook
    for (const { most, webhookId } of limited) add(this.#leftOut, webhookId, sign * (mostPerWebhook - most))
  }

  #share(free: number): number {
    return Math.min(this.#perWebhook, Math.ceil(free * shareOfFree))
  }
}

/** What is at none is forgotten. */
const add = (counts: Map<WebhookId, number>, webhook: WebhookId, more: number): void => {
  const count = (counts.get(webhook) ?? 0) + more
  if (count === 0) counts.delete(webhook)
  else counts.set(webhook, count)
}
