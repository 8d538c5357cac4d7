/**
 * The two routes on which events come in, answered in few steps: between a declared route and its handler the platform takes
 * several times as many as publishing itself. Their contract is EventsApi's. A request that is spelled in any other way, with
 * a query or another case, is not found here and goes to the declared handlers.
 */
import { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { IncomingMessage } from "node:http"
import type { Caller } from "../domain/Client.ts"
import type { Json } from "../domain/Json.ts"
import { goOn } from "../persistence/AtOnce.ts"
import { WebhookService } from "../service/WebhookService.ts"
import type { Tell } from "./AnswerHeaders.ts"
import { makeAuthenticate } from "./Authentication.ts"
import { Batch, NewEvent } from "./EventsApi.ts"
import type { Declared } from "./Failures.ts"
import * as Publish from "./Publish.ts"
import * as PublishBodies from "./PublishBodies.ts"
import * as RequestBody from "./RequestBody.ts"

export interface Route {
  readonly path: string
  /** The JSON of a 202. */
  readonly answer: (request: IncomingMessage, tell: Tell) => Effect.Effect<string, Declared>
}

export class PublishRoutes extends Context.Tag("deeper-hub-webhooks/api/PublishRoutes")<PublishRoutes, {
  /** The route that a request is for. */
  readonly find: (request: IncomingMessage) => Route | undefined
}>() {
  static readonly layer = (options: RequestBody.BodyOptions) => Layer.effect(this, make(options))
}

const make = (options: RequestBody.BodyOptions) =>
  Effect.map(Effect.all([WebhookService, makeAuthenticate]), ([webhooks, authenticate]) => {
    const { batch, one } = Publish.make(webhooks)

    const route = <In, I, Out, E extends Declared>(path: string, { input, publish, read, write }: {
      readonly input: Schema.Schema<In, I>
      readonly read: (json: Json) => In | null
      readonly publish: (caller: Caller, input: In, headers: Publish.Headers) => Effect.Effect<Out, E>
      readonly write: (published: Out) => string
    }): readonly [string, Route] => {
      const decode = Schema.decodeUnknown(input)
      const decoded = (json: Json) => {
        const plain = read(json)
        return plain === null
          ? Effect.catchTag(decode(json), "ParseError", HttpApiDecodeError.refailParseError)
          : Effect.succeed(plain)
      }
      const answer: Route["answer"] = (request, tell) => {
        const { headers, socket } = request
        const sent = { authorization: headers.authorization, address: socket.remoteAddress ?? null, connection: socket }
        return Effect.withFiberRuntime((fiber) =>
          goOn(authenticate(sent, tell).inFiber(fiber), (caller) =>
            RequestBody.read(request, options).pipe(
              Effect.flatMap((json) =>
                goOn(decoded(json), (body) => publish(caller, body, headers as Publish.Headers))
              ),
              Effect.map(write)
            ))
        )
      }
      return [path, { path, answer }]
    }

    const routes = new Map([
      route("/api/events", {
        input: NewEvent,
        read: PublishBodies.readOne,
        publish: one,
        write: PublishBodies.writeOne
      }),
      route("/api/events/batch", {
        input: Batch,
        read: PublishBodies.readBatch,
        publish: batch,
        write: PublishBodies.writeBatch
      })
    ])
    return PublishRoutes.of({ find: ({ method, url = "" }) => method === "POST" ? routes.get(url) : undefined })
  })
