/**
 * What went wrong, in the words of FAULTS.md. Pure: from an error and what was known when it came, to a class and one
 * sentence for the webhook's owner. No sentence repeats what the receiver, the DNS or a header said.
 */
import * as Data from "effect/Data"
import type { PermanentClass, RetryableClass } from "../domain/DeliveryError.ts"
import { AddressBlocked, DialTimeout, type Phase, SocketFailure } from "./Connector.ts"
import { DnsFailure } from "./Resolver.ts"

export type Classified = Data.TaggedEnum<{
  Retryable: { readonly class: RetryableClass; readonly message: string }
  Permanent: { readonly class: PermanentClass; readonly message: string }
}>
export const Classified = Data.taggedEnum<Classified>()

/** The attempt's own deadline. */
export class DeadlinePassed extends Data.TaggedError("DeadlinePassed")<{
  /** Where the dial stood; null where the request was under way. */
  readonly dialing: Phase | null
}> {}

/** The service is stopped and will not wait. */
export class BrokenOff extends Data.TaggedError("BrokenOff") {}

/** Too many requests of ours to one origin. */
export class NoConnectionFree extends Data.TaggedError("NoConnectionFree") {}

/** A URL of a scheme that is not HTTP. */
export class NotHttp extends Data.TaggedError("NotHttp") {}

/** The response breaks HTTP in a way that the parser lets pass. */
export class ProtocolViolation extends Data.TaggedError("ProtocolViolation")<{ readonly what: string }> {}

/** What was known of the socket when the error came. */
export interface Circumstances {
  readonly secure: boolean
  readonly reused: boolean
  /** At least one byte of a response had come. */
  readonly responding: boolean
}

export const ofError = (error: unknown, circumstances: Circumstances): Classified => {
  if (error instanceof DnsFailure) return ofDns(error)
  if (error instanceof AddressBlocked) return ofBlocked(error)
  if (error instanceof DialTimeout) return ofTimeout(error.phase)
  if (error instanceof DeadlinePassed) return ofTimeout(error.dialing)
  if (error instanceof SocketFailure) return error.phase === "tls" ? ofTls(error.reason) : ofConnect(error.reason)
  if (error instanceof NoConnectionFree) {
    return local("Too many deliveries to this host are under way at once; this one is tried again later.")
  }
  if (error instanceof NotHttp) return unsendable
  if (error instanceof BrokenOff) return interrupted
  if (error instanceof ProtocolViolation) return protocol(error.what)
  return ofSent(error instanceof Error ? error : new Error("unknown"), circumstances)
}

/** Null for success. */
export const ofStatus = (status: number): Classified | null => {
  if (status >= 200 && status < 300) return null
  if (status === 410) {
    return Classified.Permanent({
      class: "http_410",
      message: "The receiver answered 410 Gone, which says that it wants no more deliveries."
    })
  }
  const known = retryableStatus(status)
  return known === null
    ? Classified.Permanent({
      class: "http_4xx",
      message: `The receiver answered ${status}, which refuses the request; change the receiver or the webhook.`
    })
    : Classified.Retryable({ class: known, message: statusMessage(known, status) })
}

const retryableStatus = (status: number): RetryableClass | null => {
  if (status >= 300 && status < 400) return "http_3xx"
  if (status === 408) return "http_408"
  if (status === 425) return "http_425"
  if (status === 429) return "http_429"
  if (status >= 500 && status < 600) return "http_5xx"
  return status >= 400 && status < 500 ? null : "http_unexpected"
}

const statusMessage = (known: RetryableClass, status: number): string => {
  switch (known) {
    case "http_3xx":
      return `The receiver answered ${status}, a redirect, and redirects are not followed; set the webhook's final URL.`
    case "http_429":
      return "The receiver answered 429: it asks for fewer requests."
    case "http_5xx":
      return `The receiver answered ${status}, an error of its own.`
    case "http_unexpected":
      return `The receiver answered ${status}, which is no HTTP status; it must answer 2xx.`
    default:
      return `The receiver answered ${status}: it was not ready for the request.`
  }
}

const retryable = (name: RetryableClass, message: string): Classified => Classified.Retryable({ class: name, message })

const local = (message: string): Classified => retryable("local_resource", message)

const protocol = (what: string): Classified =>
  retryable("protocol_error", `The receiver's answer is not valid HTTP/1.1 (${what}).`)

const unsendable = Classified.Permanent({
  class: "request_invalid",
  message: "The request cannot be sent as HTTP; check the webhook's URL and headers."
})

const ofDns = (failure: DnsFailure): Classified =>
  failure.class === "dns_not_found"
    ? retryable("dns_not_found", "The host name has no address in the DNS; check the webhook's URL.")
    : retryable("dns_timeout", "The DNS servers of the host name did not give an answer.")

const ofBlocked = ({ literal, why }: AddressBlocked): Classified =>
  literal
    ? Classified.Permanent({
      class: "blocked_address",
      message: `The webhook's URL names an address that deliveries may not reach (${why}).`
    })
    : retryable("blocked_address", "The host name leads to an address that deliveries may not reach.")

const ofTimeout = (dialing: Phase | null): Classified => {
  switch (dialing) {
    case null:
      return retryable("response_timeout", "The receiver took the connection and did not answer in time.")
    case "dns":
      return retryable("dns_timeout", "The DNS did not answer in time for the host name.")
    case "connect":
      return retryable("connect_timeout", "The receiver did not take the connection in time.")
    case "tls":
      return retryable(
        "connect_timeout",
        "The receiver took the connection and did not finish the TLS handshake in time."
      )
  }
}

const localCodes = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL", "EADDRINUSE"])
const resetCodes = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED"])
const unreachableCodes = new Set(["EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN"])

const interrupted = retryable("interrupted", "The service was stopped before the receiver had answered.")

const outOfResources = local("This service had no socket free for the delivery; it is tried again later.")

const ofConnect = (reason: string): Classified => {
  if (localCodes.has(reason)) return outOfResources
  if (resetCodes.has(reason)) return retryable("connect_reset", "The receiver broke the connection off as it was made.")
  if (reason === "ETIMEDOUT") return ofTimeout("connect")
  if (unreachableCodes.has(reason)) return retryable("connect_refused", "There is no route to the receiver's address.")
  return retryable("connect_refused", "The receiver refused the connection; nothing listens at that address and port.")
}

const tlsClasses: Record<string, readonly [RetryableClass, string]> = {
  CERT_HAS_EXPIRED: ["tls_expired", "The receiver's certificate has expired."],
  CERT_NOT_YET_VALID: ["tls_not_yet_valid", "The receiver's certificate is not valid yet."],
  ERR_TLS_CERT_ALTNAME_INVALID: ["tls_name", "The receiver's certificate is for another host name."],
  HOSTNAME_MISMATCH: ["tls_name", "The receiver's certificate is for another host name."]
}

/** OpenSSL's names for a chain that does not lead to a trusted root. */
const untrusted = /SELF_SIGNED|UNABLE_TO_|^CERT_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|CRL_/

const ofTls = (reason: string): Classified => {
  const known = tlsClasses[reason]
  if (known !== undefined) return retryable(...known)
  if (untrusted.test(reason)) {
    return retryable(
      "tls_untrusted",
      "The receiver's certificate is not signed by a trusted authority; send the whole chain."
    )
  }
  if (localCodes.has(reason)) return outOfResources
  if (resetCodes.has(reason)) return retryable("connect_reset", "The receiver broke the TLS handshake off.")
  if (reason === "ETIMEDOUT") return ofTimeout("tls")
  return retryable("tls_handshake", "The TLS handshake failed; the receiver must speak TLS 1.2 or later at this port.")
}

/** Errors from undici or the socket, once the request was on its way. */
const ofSent = (error: Error, circumstances: Circumstances): Classified => {
  const code = "code" in error && typeof error.code === "string" ? error.code : ""
  switch (code) {
    case "UND_ERR_INVALID_ARG":
    case "UND_ERR_NOT_SUPPORTED":
    case "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH":
      return unsendable
    case "UND_ERR_HEADERS_OVERFLOW":
      return retryable("headers_too_large", "The receiver answered with more than 16 KB of headers.")
    case "UND_ERR_DESTROYED":
    case "UND_ERR_CLOSED":
      return interrupted
    case "UND_ERR_RES_CONTENT_LENGTH_MISMATCH":
      return protocol("its length is not what it says")
    case "ETIMEDOUT":
      return ofTimeout(null)
  }
  // undici gives what it refuses in an answer the code of a broken socket.
  if (code === "UND_ERR_SOCKET" && error.message.startsWith("bad ")) return protocol("an answer that was not asked for")
  if (code === "UND_ERR_SOCKET" || resetCodes.has(code) || unreachableCodes.has(code)) return ofReset(circumstances)
  if (code.startsWith("ERR_SSL_")) return tlsOrReset
  if (localCodes.has(code)) return outOfResources
  return protocol(error.name === "HTTPParserError" ? "it cannot be parsed" : "it cannot be understood")
}

const tlsOrReset = retryable(
  "tls_or_reset",
  "The receiver closed the connection after the TLS handshake; it may demand a client certificate."
)

/** Under TLS 1.3 a server says only after the handshake that it wanted a client certificate. */
const ofReset = ({ responding, reused, secure }: Circumstances): Classified => {
  if (responding || reused) {
    return retryable("conn_reset", "The connection broke before the receiver had answered.")
  }
  return secure
    ? tlsOrReset
    : retryable("connect_reset", "The receiver closed the new connection without an answer.")
}
