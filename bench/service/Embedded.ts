/** The service as Layers in the publisher's own process, published to by its facade. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { layerEmbedded, Webhooks } from "../../src/index.ts"
import type { Make, Publish } from "../Contender.ts"
import { Failure } from "../Failure.ts"
import { clientId, register } from "./Registered.ts"
import { settings } from "./Settings.ts"

export const make: Make = (place) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(Layer.provide(layerEmbedded, settings(place)))
    return yield* Effect.provide(contender(place.routes), context)
  }).pipe(
    Effect.mapError((cause) =>
      new Failure({ problem: `The service did not start: ${cause.message}`, advice: "Mend that first" })
    )
  )

const contender = (routes: Parameters<typeof register>[0]) =>
  Effect.gen(function*() {
    yield* register(routes)
    const webhooks = yield* Webhooks
    const publish: Publish = {
      kind: "effect",
      run: ([event]) =>
        event === undefined ? Effect.void : Effect.orDie(
          webhooks.triggerEvent(clientId, { eventType: event.type, payload: event.payload })
        )
    }
    return { publish, batch: 1 }
  })
