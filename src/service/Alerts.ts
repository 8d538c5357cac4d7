/** Alerts as their owners see them: listed, and acknowledged by somebody who has seen one. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Alert } from "../domain/Alert.ts"
import { type Caller, reach } from "../domain/Client.ts"
import type { AlertId, ClientId } from "../domain/Ids.ts"
import type { Page, PageRequest } from "../domain/Page.ts"
import type { Forbidden, NotFound } from "../domain/Refusal.ts"
import { type AlertFilter, AlertStore } from "../persistence/AlertStore.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import { authorize, found, reachFor } from "./Access.ts"
import { Audit } from "./Audit.ts"
import * as AuditChanges from "./AuditChanges.ts"

type Refused = Forbidden | NotFound | PersistenceError

export class Alerts extends Context.Tag("deeper-hub-webhooks/service/Alerts")<Alerts, {
  readonly list: (
    caller: Caller,
    filter: AlertFilter & { readonly clientId: ClientId | null },
    page: PageRequest
  ) => Effect.Effect<Page<Alert>, Refused>
  /** Doing it again changes nothing. */
  readonly acknowledge: (caller: Caller, id: AlertId) => Effect.Effect<Alert, Refused>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const audit = yield* Audit
      const store = yield* AlertStore
      return Alerts.of({
        list: Effect.fn("Alerts.list")(function*(caller, { clientId, ...filter }, page) {
          yield* authorize(caller, "read")
          return yield* store.list(yield* reachFor(caller, clientId), filter, page)
        }),
        acknowledge: Effect.fn("Alerts.acknowledge")(function*(caller, id) {
          yield* authorize(caller, "write")
          const acknowledged = Effect.flatMap(store.acknowledge(reach(caller), id, caller.keyId), found("alert", id))
          return (yield* audit.record(caller, acknowledged, AuditChanges.alertAcknowledged)).alert
        })
      })
    })
  )
}
