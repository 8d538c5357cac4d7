import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { EventTypeName } from "../domain/EventType.ts"
import { Invalid } from "../domain/Refusal.ts"
import { EventTypes } from "../service/EventTypes.ts"
import { Api } from "./Api.ts"
import { CurrentCaller } from "./Authentication.ts"
import { Catalogue, EventTypeResource } from "./EventTypesApi.ts"
import * as LosslessJson from "./LosslessJson.ts"
import * as PathId from "./PathId.ts"

const typeName = PathId.decode("event_type", EventTypeName)

export const layer = HttpApiBuilder.group(Api, "event_types", (handlers) =>
  Effect.gen(function*() {
    const types = yield* EventTypes
    return handlers
      .handle("list", () =>
        Effect.gen(function*() {
          const data = yield* types.list(yield* CurrentCaller)
          return yield* LosslessJson.respond(Catalogue)({ data })
        }))
      .handle("put", ({ path, payload }) =>
        Effect.gen(function*() {
          const name = yield* Effect.mapError(typeName(path.name), () => nameInvalid)
          return yield* LosslessJson.respond(EventTypeResource)(yield* types.put(yield* CurrentCaller, name, payload))
        }))
      .handle("delete", ({ path }) =>
        Effect.gen(function*() {
          const name = yield* typeName(path.name)
          yield* types.remove(yield* CurrentCaller, name)
        }))
  }))

const nameInvalid = Invalid.one(
  "name",
  "event_type_invalid",
  "expected a dotted name of letters, digits, '_' and '-', like deal.won"
)
