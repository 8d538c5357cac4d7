/** One request published by itself, without others to share its statement. */
import { Effect, Option } from "effect"
import type { Committed, Stored } from "../../src/persistence/Committed.ts"
import { EventStore } from "../../src/persistence/EventStore.ts"
import type { LeaseOffer, PublishRequest } from "../../src/persistence/PublishRequest.ts"

export interface Alone extends Stored {
  readonly leased: Committed["leased"]
}

export const publishAlone = ({ lease, ...request }: PublishRequest & { readonly lease: LeaseOffer | null }) =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const { leased, stored: [stored = Option.none()] } = yield* store.publish([request], lease)
    const answer = Option.isSome(stored) ? stored : yield* store.replay(request)
    return { ...Option.getOrThrow(answer), leased } satisfies Alone
  })
