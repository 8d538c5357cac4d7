/** Methods that no handler knows: OPTIONS tells which a path has, any other one is refused with the same list. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type * as HttpApp from "@effect/platform/HttpApp"
import type { RouteNotFound } from "@effect/platform/HttpServerError"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { Api } from "./Api.ts"
import * as Paths from "./Paths.ts"
import { MethodNotAllowed, NoRoute } from "./Problem.ts"

export const layer = HttpApiBuilder.middleware(
  Api,
  (app: HttpApp.Default<RouteNotFound>) => Effect.catchTag(app, "RouteNotFound", answer)
)

const answer = (
  { request: { method, url } }: RouteNotFound
): Effect.Effect<HttpServerResponse.HttpServerResponse, MethodNotAllowed | NoRoute> => {
  const path = Paths.of(url)
  const allow = Paths.allow(path)
  // An id that is too long or no UTF-8 leads nowhere, although the path knows the method.
  const isKnown = method !== "OPTIONS" && allow?.split(", ").includes(method)
  if (allow === undefined || isKnown) {
    return Effect.fail(new NoRoute({ message: `There is no ${method} ${path}. See /docs.` }))
  }
  return method === "OPTIONS"
    ? Effect.succeed(HttpServerResponse.empty({ status: 204, headers: { allow } }))
    : Effect.fail(new MethodNotAllowed({ message: `${path} knows ${allow}, and not ${method}. See /docs.`, allow }))
}
