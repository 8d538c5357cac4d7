/** A node of a drill: one process of the service, of which there may be several on one database. */
import { Effect, Schema } from "effect"
import * as EmbeddedService from "../support/EmbeddedService.ts"
import * as Service from "../support/Service.ts"
import * as Finding from "./Finding.ts"
import * as Sql from "./Sql.ts"

export interface Place {
  readonly databaseUrl: string
  /** Holds the operator's key and the encryption keys, which all nodes share. */
  readonly dataDirectory: string
  readonly env: Readonly<Record<string, string>>
}

export const place = (databaseUrl: string, env: Readonly<Record<string, string>> = {}) =>
  Effect.map(EmbeddedService.directory(), (dataDirectory): Place => ({ databaseUrl, dataDirectory, env }))

/** What one of several nodes has for itself. */
export interface Own {
  readonly env?: Readonly<Record<string, string>>
  /** As `Service.start` has it. */
  readonly preload?: string
}

/** Receivers learn the node's name from its User-Agent. */
export const start = (
  { dataDirectory, databaseUrl, env }: Place,
  name: string,
  { env: ownEnv = {}, ...options }: Own = {}
) =>
  Effect.orDie(Service.serve({
    ...options,
    dataDirectory,
    env: { LOG_LEVEL: "Error", WEBHOOKS_USER_AGENT: name, ...env, ...ownEnv, DATABASE_URL: databaseUrl }
  }))

const System = Schema.parseJson(Schema.Struct({
  actors: Schema.Array(Schema.Struct({ name: Schema.String, state: Schema.String, restarts: Schema.Int }))
}))

/** Outages are expected of the world, and no actor may crash of them. */
export const actorsUnhurt = (node: Service.Running): Effect.Effect<Finding.Finding> =>
  Effect.gen(function*() {
    const { text } = yield* node.api.send("GET", "/api/system")
    const { actors } = yield* Schema.decode(System)(text)
    return Finding.none("restarts of actors", actors.reduce((sum, { restarts }) => sum + restarts, 0))
  }).pipe(Effect.orDie)

/** Stops it as an operator would; that it ends so shows that it was alive all the time. */
export const stop = (node: Service.Running): Effect.Effect<Finding.Finding> =>
  Effect.map(node.kill("SIGTERM"), ({ code }): Finding.Finding => ({
    what: `exit code of node ${node.pid}, which ran all the time`,
    found: String(code),
    goal: "0",
    met: code === 0
  }))

/**
 * Seconds from a moment to the beginning of the next attempt that succeeded, by the database; infinite where there is
 * none.
 */
export const deliveringAfter = (url: string, moment: number) =>
  Sql.value(
    url,
    Schema.NullOr(Schema.Number),
    `SELECT (extract(epoch FROM min(started_at)) * 1000)::float8 AS value FROM attempts
     WHERE result = 'success' AND started_at >= to_timestamp($1::float8 / 1000)`,
    [moment]
  ).pipe(
    Effect.orDie,
    Effect.map((first) => first === null ? Number.POSITIVE_INFINITY : (first - moment) / 1_000)
  )
