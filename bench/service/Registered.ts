/** The webhooks of a benchmark: one for each URL of a route, which wants the route's type alone. */
import * as Effect from "effect/Effect"
import { Webhooks } from "../../src/index.ts"
import type { Route } from "../Contender.ts"

export const clientId = "default"

/** Registers them, unless an earlier run on this database did. */
export const register = (routes: ReadonlyArray<Route>) =>
  Effect.gen(function*() {
    const webhooks = yield* Webhooks
    const known = yield* webhooks.listWebhooksForClient(clientId)
    if (known.data.length > 0) return
    for (const { eventType, urls } of routes) {
      for (const url of urls) yield* webhooks.registerWebhook(clientId, url, [eventType])
    }
  })
