/** Requests that are none: too slow, too long, or no HTTP. Node would answer a bare status line, or nothing. */
import type { Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import * as BareProblem from "./BareProblem.ts"

/** Answers them; `underWay` knows the response, if any, that a socket is to carry. */
export const answer = (server: Server, underWay: (socket: Socket) => ServerResponse | undefined): void => {
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    // Nobody is there to be told, or something was already said that this must not be mixed with.
    const isTold = underWay(socket)?.headersSent ?? false
    if (error.code === "ECONNRESET" || !socket.writable || isTold) return socket.destroy()
    BareProblem.write(socket, problems[error.code ?? ""] ?? syntax)
  })
  server.on("checkExpectation", (_, response) => BareProblem.answer(response, expectation))
}

const syntax: BareProblem.BareProblem = {
  status: 400,
  title: "Bad request",
  code: "http_syntax",
  detail: "This is no HTTP/1.1 request."
}

const expectation: BareProblem.BareProblem = {
  status: 417,
  title: "Expectation failed",
  code: "expectation_failed",
  detail: "The only expectation that can be met is 100-continue."
}

const problems: Readonly<Record<string, BareProblem.BareProblem>> = {
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    title: "Request timeout",
    code: "request_timeout",
    detail: "The request did not come in time. Nothing was done: repeat it."
  },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: {
    status: 413,
    title: "Content too large",
    code: "chunk_extensions_too_large",
    detail: "The chunks' extensions are longer than 16 KB."
  },
  HPE_HEADER_OVERFLOW: {
    status: 431,
    title: "Request header fields too large",
    code: "headers_too_large",
    detail: "The request line and the header fields may have 16 KB."
  }
}
