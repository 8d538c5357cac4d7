/** How a webhook has been doing. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Caller, reach } from "../domain/Client.ts"
import type { WebhookId } from "../domain/Ids.ts"
import type { Forbidden, NotFound } from "../domain/Refusal.ts"
import { type StatsWindow, summarize, type WebhookStats } from "../domain/WebhookStats.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { StatsStore } from "../persistence/StatsStore.ts"
import { authorize, found } from "./Access.ts"

export class Stats extends Context.Tag("deeper-hub-webhooks/service/Stats")<Stats, {
  readonly ofWebhook: (
    caller: Caller,
    id: WebhookId,
    window: StatsWindow
  ) => Effect.Effect<WebhookStats, Forbidden | NotFound | PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.map(StatsStore, (store) =>
      Stats.of({
        ofWebhook: Effect.fn("Stats.ofWebhook")(function*(caller, id, window) {
          yield* authorize(caller, "read")
          const { now, open, tallies } = yield* Effect.flatMap(
            store.read(reach(caller), id, window),
            found("webhook", id)
          )
          return summarize(window, now, tallies, open)
        })
      }))
  )
}
