/** A Postgres in a process of its own, for drills with several nodes; whoever kills it, it comes back at its address. */
import { Effect, Option, Schedule, Schema } from "effect"
import * as EmbeddedService from "../support/EmbeddedService.ts"
import * as Sql from "./Sql.ts"

export interface PostgresServer {
  readonly url: string
  /** SIGKILL, or SIGINT for what Postgres calls a fast shutdown. Returns when it takes connections again. */
  readonly end: (signal: "SIGKILL" | "SIGINT") => Effect.Effect<void>
}

export const make = Effect.gen(function*() {
  const directory = yield* EmbeddedService.directory()
  const keeper = yield* EmbeddedService.start(directory)
  const url = yield* Effect.orDie(keeper.url)
  const pid = Effect.sync(() => EmbeddedService.postmasterOf(directory))

  const end: PostgresServer["end"] = (signal) =>
    Effect.gen(function*() {
      const ending = Option.getOrThrow(yield* pid)
      yield* Effect.sync(() => process.kill(ending, signal))
      yield* Effect.repeat(pid, {
        until: (now) => !Option.contains(now, ending),
        schedule: Schedule.spaced("5 millis")
      })
      yield* Effect.retry(
        Sql.value(url, Schema.Int, "SELECT 1 AS value"),
        Schedule.upTo(Schedule.spaced("20 millis"), "1 minute")
      ).pipe(Effect.orDie)
    })

  const server: PostgresServer = { url, end }
  return server
})
