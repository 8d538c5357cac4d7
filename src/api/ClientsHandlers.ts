import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { ClientId, KeyId } from "../domain/Ids.ts"
import { ApiKeys } from "../service/ApiKeys.ts"
import { Clients } from "../service/Clients.ts"
import { Api } from "./Api.ts"
import { CurrentCaller } from "./Authentication.ts"
import * as Paging from "./Paging.ts"
import * as PathId from "./PathId.ts"

const clientId = PathId.decode("client", ClientId)
const keyId = PathId.decode("api_key", KeyId)

export const layer = HttpApiBuilder.group(Api, "clients", (handlers) =>
  Effect.gen(function*() {
    const clients = yield* Clients
    const keys = yield* ApiKeys
    return handlers
      .handle("list", ({ urlParams }) =>
        Effect.gen(function*() {
          const found = yield* clients.list(yield* CurrentCaller, yield* Paging.requestByName(urlParams))
          return Paging.toResponse(found, urlParams.limit, (client) => client)
        }))
      .handle("create", ({ payload }) => Effect.flatMap(CurrentCaller, (caller) => clients.create(caller, payload)))
      .handle("update", ({ path, payload }) =>
        Effect.gen(function*() {
          return yield* clients.update(yield* CurrentCaller, yield* clientId(path.id), payload)
        }))
      .handle("listKeys", ({ path, urlParams }) =>
        Effect.gen(function*() {
          const page = yield* Paging.request(urlParams)
          const found = yield* keys.list(yield* CurrentCaller, yield* clientId(path.id), page)
          return Paging.toResponse(found, urlParams.limit, (key) => key)
        }))
      .handle("issueKey", ({ path, payload }) =>
        Effect.gen(function*() {
          return yield* keys.issue(yield* CurrentCaller, yield* clientId(path.id), payload)
        }))
      .handle("revokeKey", ({ path }) =>
        Effect.gen(function*() {
          yield* keys.revoke(yield* CurrentCaller, yield* clientId(path.id), yield* keyId(path.key))
        }))
  }))
