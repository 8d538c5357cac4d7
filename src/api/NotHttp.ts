/** Answers to what Node does not take for a request, and so never hands to the API: problems too, like all others. */
import type { Duplex } from "node:stream"

interface Refusal {
  readonly status: number
  readonly title: string
  readonly code: string
  readonly detail: string
}

const malformed: Refusal = {
  status: 400,
  title: "Bad request",
  code: "http_malformed",
  detail: "This is not an HTTP/1.1 request, or it broke off."
}

const refusals: Readonly<Record<string, Refusal>> = {
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    title: "Request timeout",
    code: "request_timeout",
    detail: "The request did not arrive in time. Repeat it on a new connection."
  },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: {
    status: 413,
    title: "Content too large",
    code: "chunk_extensions_too_large",
    detail: "The chunks of the body have more extensions than are read."
  },
  HPE_HEADER_OVERFLOW: {
    status: 431,
    title: "Request header fields too large",
    code: "headers_too_large",
    detail: "The request's line and headers may have 16 KB together."
  }
}

/** Says what was wrong and ends the connection; where an answer is on its way already, it only ends. */
export const refuse = ({ code = "" }: NodeJS.ErrnoException, socket: Duplex, isAnswering: boolean): void => {
  if (!socket.writable || isAnswering) {
    socket.destroy()
    return
  }
  const { status, title, ...said } = refusals[code] ?? malformed
  const body = JSON.stringify({ type: "about:blank", title, status, ...said })
  socket.end(
    [
      `HTTP/1.1 ${status} ${title}`,
      "cache-control: no-store",
      "connection: close",
      `content-length: ${Buffer.byteLength(body)}`,
      "content-type: application/problem+json",
      "x-content-type-options: nosniff",
      "",
      body
    ].join("\r\n")
  )
}
