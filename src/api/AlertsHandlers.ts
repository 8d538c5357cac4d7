import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { AlertId } from "../domain/Ids.ts"
import { Alerts } from "../service/Alerts.ts"
import { AlertPage, AlertResource } from "./AlertsApi.ts"
import { Api } from "./Api.ts"
import { CurrentCaller } from "./Authentication.ts"
import * as LosslessJson from "./LosslessJson.ts"
import * as NoBody from "./NoBody.ts"
import * as Paging from "./Paging.ts"
import * as PathId from "./PathId.ts"

const alertId = PathId.decode("alert", AlertId)
const respond = LosslessJson.respond(AlertResource)
const respondPage = LosslessJson.respond(AlertPage)

export const layer = HttpApiBuilder.group(Api, "alerts", (handlers) =>
  Effect.gen(function*() {
    const alerts = yield* Alerts
    return handlers
      .handle(
        "list",
        ({ urlParams: { clientId = null, kind = null, state = null, webhookId = null, ...paging } }) =>
          Effect.gen(function*() {
            const page = yield* Paging.request(paging)
            const found = yield* alerts.list(yield* CurrentCaller, { clientId, kind, state, webhookId }, page)
            return yield* respondPage(Paging.toResponse(found, paging.limit, (alert) => alert))
          })
      )
      .handle("acknowledge", ({ path }) =>
        Effect.gen(function*() {
          const id = yield* alertId(path.id)
          const caller = yield* CurrentCaller
          yield* NoBody.expected
          return yield* respond(yield* alerts.acknowledge(caller, id))
        }))
  }))
