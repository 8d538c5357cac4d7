/**
 * The two routes on which events come in, answered in few steps. Their contract is EventsApi's, whose schemas read and
 * write here too, and what goes wrong goes the way of all that does; but between a declared route and its handler the
 * platform takes several times as many steps as publishing itself. A request that is spelled in any other way, with a
 * query or another case, takes that way all the same.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { HttpApiDecodeError } from "@effect/platform/HttpApiError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Caller } from "../domain/Client.ts"
import { WebhookService } from "../service/WebhookService.ts"
import * as Tracing from "../telemetry/Tracing.ts"
import { Api } from "./Api.ts"
import { makeAuthenticate } from "./Authentication.ts"
import { Batch, NewEvent, PublishedBatch, PublishedResource } from "./EventsApi.ts"
import * as Failures from "./Failures.ts"
import * as Publish from "./Publish.ts"
import * as RequestBody from "./RequestBody.ts"

type Request = HttpServerRequest.HttpServerRequest

export const layer = (options: RequestBody.BodyOptions) =>
  HttpApiBuilder.middleware(
    Api,
    Effect.map(Effect.all([WebhookService, makeAuthenticate]), ([webhooks, authenticate]) => {
      const { batch, one } = Publish.make(webhooks)

      const route = <In, I, Out, O, E>(
        path: string,
        input: Schema.Schema<In, I>,
        output: Schema.Schema<Out, O>,
        publish: (caller: Caller, input: In, headers: Publish.Headers) => Effect.Effect<Out, E>
      ) => {
        const decode = Schema.decodeUnknown(input)
        const encode = Schema.encodeSync(output)
        const answer = (request: Request) =>
          Effect.flatMap(authenticate(request), (caller) =>
            RequestBody.read(request, options).pipe(
              Effect.flatMap(decode),
              Effect.catchTag("ParseError", HttpApiDecodeError.refailParseError),
              Effect.flatMap((body) => publish(caller, body, request.headers as Publish.Headers)),
              Effect.map((published) => HttpServerResponse.unsafeJson(encode(published), { status: 202 }))
            ))
        return [
          path,
          (request: Request) =>
            Effect.zipRight(Tracing.annotate("http.route", path), Effect.interruptible(answer(request)))
        ] as const
      }

      const routes = new Map([
        route("/api/events", NewEvent, PublishedResource, one),
        route("/api/events/batch", Batch, PublishedBatch, batch)
      ])

      return (app) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
          const answer = request.method === "POST" ? routes.get(request.url) : undefined
          return answer === undefined ? app : Failures.leave(answer(request))
        })
    })
  )
