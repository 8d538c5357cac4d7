/** The service with its HTTP API. Who publishes is in another process: `HttpPublisher.ts`. */
import * as HttpServer from "@effect/platform/HttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { layerServer } from "../../src/index.ts"
import { ApiKeys } from "../../src/service/ApiKeys.ts"
import type { Contender, Make, Place } from "../Contender.ts"
import { Failure } from "../Failure.ts"
import { register } from "./Registered.ts"
import { settings } from "./Settings.ts"

export const make: Make = (place) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(Layer.provide(layerServer, settings(place)))
    return yield* Effect.provide(contender(place), context)
  }).pipe(
    Effect.mapError((cause) =>
      new Failure({ problem: `The service did not start: ${cause.message}`, advice: "Mend that first" })
    )
  )

const contender = ({ routes }: Place) =>
  Effect.gen(function*() {
    yield* register(routes)
    const keys = yield* ApiKeys
    const { token } = yield* keys.issueOperator("benchmark", () => Effect.void)
    const base = yield* HttpServer.addressFormattedWith(Effect.succeed)
    const made: Contender = {
      publish: { kind: "effect", run: () => Effect.dieMessage("published to over HTTP") },
      batch: 1,
      address: { base, key: Redacted.value(token) }
    }
    return made
  })
