/** What a person is told when the service cannot start or has to end: what was wrong, where, and what to do. */
import type * as HttpServerError from "@effect/platform/HttpServerError"
import * as Cause from "effect/Cause"
import * as ConfigError from "effect/ConfigError"

export const explain = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (ConfigError.isConfigError(error)) return ["These settings are not usable:", ...settings(error)].join("\n")
  const taken = portTaken(error)
  if (taken !== null) return `${taken} is taken by another program. Stop that one, or set PORT to a free port.`
  if (error instanceof Error && error.message !== "") return error.message
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

const isServeError = (error: unknown): error is HttpServerError.ServeError =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "ServeError"
