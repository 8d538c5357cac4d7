/**
 * A query string reaches the platform's handlers as a plain object, from which a parameter named `__proto__` vanishes
 * without a word. Nothing is called that, so it is refused here as every other unknown parameter is there. Probes take any
 * query: what asks them may have its own reasons.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import { Invalid } from "../domain/Refusal.ts"
import * as Failures from "./Failures.ts"
import * as Paths from "./Paths.ts"

const name = "__proto__"

export const layer = HttpApiBuilder.middleware((app) =>
  Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    ({ url }) =>
      Paths.normal(url).startsWith("/api/") && new URLSearchParams(queryOf(url)).has(name)
        ? Failures.leave(
          Effect.fail(Invalid.one(name, "unknown_field", "There is no such field. See /docs for those there are."))
        )
        : app
  )
)

const queryOf = (url: string): string => url.includes("?") ? url.slice(url.indexOf("?")) : ""
