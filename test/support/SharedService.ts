/** One service for a whole test file, in a process of its own, on the database of PgTest. */
import { Context, Effect, Layer } from "effect"
import * as EmbeddedService from "./EmbeddedService.ts"
import * as PgTest from "./PgTest.ts"
import { type Running, serve } from "./Service.ts"

export class Service extends Context.Tag("deeper-hub-webhooks/test/support/SharedService/Service")<Service, Running>() {
  static readonly layer = (env: Readonly<Record<string, string>> = {}) =>
    Layer.scoped(
      this,
      Effect.gen(function*() {
        const url = yield* PgTest.url
        const dataDirectory = yield* EmbeddedService.directory()
        return yield* serve({ dataDirectory, env: { DATABASE_URL: url, ...env } })
      })
    ).pipe(Layer.provideMerge(PgTest.layer))
}
