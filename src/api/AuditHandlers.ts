import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { Audit } from "../service/Audit.ts"
import { Api } from "./Api.ts"
import { AuditPage } from "./AuditApi.ts"
import { CurrentCaller } from "./Authentication.ts"
import * as LosslessJson from "./LosslessJson.ts"
import * as Paging from "./Paging.ts"

const respond = LosslessJson.respond(AuditPage)

export const layer = HttpApiBuilder.group(Api, "audit", (handlers) =>
  Effect.gen(function*() {
    const audit = yield* Audit
    return handlers.handle(
      "list",
      ({ urlParams: { action = null, clientId = null, resourceId = null, ...paging } }) =>
        Effect.gen(function*() {
          const page = yield* Paging.request(paging)
          const found = yield* audit.list(yield* CurrentCaller, { action, clientId, resourceId }, page)
          return yield* respond(Paging.toResponse(found, paging.limit, (entry) => entry))
        })
    )
  }))
