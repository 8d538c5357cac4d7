/**
 * The short way from a commit to a delivery: what this node has room for is leased to it in the statement that publishes,
 * and goes straight to the Dispatcher. The runtime says what there is room for.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { LeaseOffer, Stored } from "../persistence/Publish.ts"

export class FastLane extends Context.Tag("deeper-hub-webhooks/service/FastLane")<FastLane, {
  /**
   * Hands `publish` an offer for the deliveries of so many events, null where there is no room, and what it leased to the
   * Dispatcher. Not to be interrupted from the offer to the hand-over, so that no lease is left without its attempt.
   */
  readonly send: <E, R>(
    events: number,
    publish: (offer: LeaseOffer | null) => Effect.Effect<Stored, E, R>
  ) => Effect.Effect<Stored, E, R>
}>() {}
