/** Deliveries as the actors hand them to one another, without a database. */
import { Clock, Effect } from "effect"
import { randomUUID } from "node:crypto"
import { EventTypeName } from "../../src/domain/EventType.ts"
import * as Ids from "../../src/domain/Ids.ts"
import { SignatureScheme } from "../../src/domain/SignatureScheme.ts"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import { DeliveryQueue, type LeasedDelivery } from "../../src/runtime/DeliveryQueue.ts"

/** One that this node may send. */
export const claimed = (change?: Partial<ClaimedDelivery>): Effect.Effect<ClaimedDelivery> =>
  Effect.gen(function*() {
    return {
      id: yield* Ids.make("DeliveryId"),
      leaseToken: randomUUID(),
      probe: false,
      attemptCount: 0,
      chargedCount: 0,
      eventId: yield* Ids.make("EventId"),
      eventType: EventTypeName.make("deal.won"),
      body: `{"data": {}}`,
      traceparent: null,
      webhookId: yield* Ids.make("WebhookId"),
      clientId: Ids.ClientId.make("acme"),
      url: "https://example.com/hook",
      signatures: SignatureScheme.literals,
      retryCount: 5,
      timeoutMs: 5_000,
      secretSealed: new Uint8Array([1]),
      previousSecretSealed: null,
      headersSealed: null,
      ...change
    }
  })

/** One whose lease ends so many seconds from now. */
export const leased = (seconds = 30, change?: Partial<ClaimedDelivery>): Effect.Effect<LeasedDelivery> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeNanos
    return { delivery: yield* claimed(change), leaseEndsAt: now + BigInt(seconds) * 1_000_000_000n, isFresh: true }
  })

/** The next of the queue, as a worker takes it; waits for one. */
export const take: Effect.Effect<LeasedDelivery, never, DeliveryQueue> = Effect.flatMap(
  DeliveryQueue,
  (queue) =>
    Effect.async((resume) => {
      const look = () => {
        const next = queue.next(look)
        if (next !== null) resume(Effect.succeed(next))
      }
      look()
      return Effect.sync(() => queue.leave(look))
    })
)
