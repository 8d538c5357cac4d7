/** What a person is told when the service cannot start or has to end: what was wrong, where, and what to do. */
import type * as HttpServerError from "@effect/platform/HttpServerError"
import * as Cause from "effect/Cause"
import * as ConfigError from "effect/ConfigError"

export const explain = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (ConfigError.isConfigError(error)) return ["These settings are not usable:", ...settings(error)].join("\n")
  const taken = portTaken(error)
  if (taken !== null) return `${taken} is taken by another program. Stop that one, or set PORT to a free port.`
  const away = databaseAway(error)
  if (away !== null) return away
  const said = isServeError(error) ? error.cause : error
  if (said instanceof Error && said.message !== "") return said.message
  return Cause.pretty(cause)
}

const settings = (error: ConfigError.ConfigError): ReadonlyArray<string> => {
  switch (error._op) {
    case "And":
    case "Or":
      return [...settings(error.left), ...settings(error.right)]
    default:
      return [`  ${error.path.join("_")}: ${error.message}`]
  }
}

/** `host:port` where listening failed because somebody listens there. */
const portTaken = (error: unknown): string | null => {
  const cause = isServeError(error) ? error.cause : error
  if (!(cause instanceof Error) || !("code" in cause) || cause.code !== "EADDRINUSE") return null
  return "address" in cause && "port" in cause ? `${String(cause.address)}:${String(cause.port)}` : "The port"
}

/** What the database's driver said; where a host has several addresses, what each of them did. */
const databaseAway = (error: unknown): string | null => {
  if (!isSqlError(error)) return null
  const causes: ReadonlyArray<unknown> = error.cause instanceof AggregateError ? error.cause.errors : [error.cause]
  const reasons = causes.map((cause) => cause instanceof Error ? cause.message : String(cause))
  return `The database cannot be used: ${reasons.join("; ")}. ` +
    "Check DATABASE_URL, which has the form postgres://user:password@host:port/database."
}

const isSqlError = (error: unknown): error is Error & { readonly cause: unknown } =>
  error instanceof Error && "_tag" in error && error._tag === "SqlError"

const isServeError = (error: unknown): error is HttpServerError.ServeError =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "ServeError"
