/** A mail server as its URL names it: `smtp://user:password@host:587` or `smtps://…:465`. */
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"

export interface SmtpServer {
  readonly host: string
  readonly port: number
  /** `tls` from the first byte on; `starttls` or nothing; `starttls` where the server offers it. */
  readonly encryption: "tls" | "starttls" | "optional"
  /** On this machine: nobody listens in between, and its certificate is rarely one that anybody trusts. */
  readonly isLoopback: boolean
  readonly login: { readonly user: string; readonly password: Redacted.Redacted } | null
}

const ports: Readonly<Record<string, number>> = { "smtp:": 587, "smtps:": 465 }

const form = "smtp://user:password@host:587 or smtps://user:password@host:465"

/** The left side says what was expected, and nothing of what was found. */
export const fromUrl = (redacted: Redacted.Redacted): Either.Either<SmtpServer, string> => {
  const text = Redacted.value(redacted)
  if (!URL.canParse(text)) return Either.left(form)
  const url = new URL(text)
  const usualPort = ports[url.protocol]
  if (usualPort === undefined || url.hostname === "" || url.hash !== "" || !/^\/?$/.test(url.pathname)) {
    return Either.left(form)
  }
  if (!["", "?starttls=optional"].includes(url.search)) {
    return Either.left("no other parameter than starttls=optional")
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1")
  const isLoopback = /^(localhost|127(\.\d{1,3}){3}|::1)$/i.test(host)
  return Either.map(loginOf(url), (login) => ({
    host,
    port: url.port === "" ? usualPort : Number(url.port),
    encryption: url.protocol === "smtps:" ? "tls" : isLoopback || url.search !== "" ? "optional" : "starttls",
    isLoopback,
    login
  }))
}

const loginOf = ({ password, username }: URL): Either.Either<SmtpServer["login"], string> => {
  if (username === "" && password === "") return Either.right(null)
  return Either.try({
    try: () => ({ user: decodeURIComponent(username), password: Redacted.make(decodeURIComponent(password)) }),
    catch: () => "a user and a password with their special characters percent-encoded"
  })
}
