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

const shareOfFree = 1 / 8
const reservedShare = 1 / 4

const quickMs = 1_000

/** Webhooks that are remembered as quick. */
const quickMax = 10_000

export class Places {
  readonly #held = new Map<WebhookId, number>()
  /** The one that was quick last is last. */
  readonly #quick = new Set<WebhookId>()
  readonly #perWebhook: number
  readonly #reserved: number
  #free: number

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

  get holders(): Iterable<WebhookId> {
    return this.#held.keys()
  }

  /** How many a webhook of which nothing is known may hold. */
  get shareOfUnknown(): number {
    return this.#share(this.unreserved)
  }

  /** How many more it may hold, were so many free. */
  room(webhook: WebhookId, free: number): number {
    return this.#share(this.#quick.has(webhook) ? free : free - this.#reserved) - (this.#held.get(webhook) ?? 0)
  }

  /** A negative number gives places back. */
  take(webhook: WebhookId, places: number): void {
    this.#free -= places
    const holds = (this.#held.get(webhook) ?? 0) + places
    if (holds === 0) this.#held.delete(webhook)
    else this.#held.set(webhook, holds)
  }

  setAside(places: number): void {
    this.#free -= places
  }

  /** How long its latest attempt took. */
  remember(webhook: WebhookId, attemptMs: number): void {
    this.#quick.delete(webhook)
    if (attemptMs <= quickMs) this.#quick.add(webhook)
    const oldest = this.#quick.values().next()
    if (this.#quick.size > quickMax && oldest.done !== true) this.#quick.delete(oldest.value)
  }

  #share(free: number): number {
    return Math.min(this.#perWebhook, Math.ceil(free * shareOfFree))
  }
}
