/** Headers that an answer is to have, whatever it turns out to be. */
import * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"

export type AnswerHeaders = Readonly<Record<string, string>>

/** Puts headers into the answer to the request under way. */
export type Tell = (headers: AnswerHeaders) => Effect.Effect<void>

/** Where the platform answers. */
export const tell: Tell = (headers) =>
  HttpApp.appendPreResponseHandler((_, response) => Effect.succeed(HttpServerResponse.setHeaders(response, headers)))
