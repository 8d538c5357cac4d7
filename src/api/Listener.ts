/**
 * The sockets below the API, and how they end. Node's own `close` waits for every connection that is not idle, also for
 * one on which nothing has come, or half a request; and its timeouts end with the listening. One such caller would keep
 * the process from ever ending.
 */
import * as Effect from "effect/Effect"
import { createServer, type Server, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import * as NotHttp from "./NotHttp.ts"

export interface Listener {
  readonly server: Server
  /** No more connections or requests; those under way are answered, within the patience; then every connection ends. */
  readonly drain: Effect.Effect<void>
}

const patience = "5 seconds"

export const make: Effect.Effect<Listener> = Effect.sync(() => {
  const server = createServer({ headersTimeout: 10_000, requestTimeout: 30_000 })
  const sockets = new Set<Socket>()
  const underWay = new Set<ServerResponse>()
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  server.on("request", (_, response) => {
    underWay.add(response)
    response.once("close", () => underWay.delete(response))
    // No listener but this one: the API is not there yet, or not any more.
    if (server.listenerCount("request") === 1) refuse(response)
  })
  server.on("clientError", (error, socket) => {
    const isAnswering = Array.from(underWay).some((response) => response.socket === socket && response.headersSent)
    NotHttp.refuse(error, socket, isAnswering)
  })

  const end = Effect.async<void>((resume) => {
    server.close(() => resume(Effect.void))
    for (const response of underWay) {
      if (!response.headersSent) response.setHeader("connection", "close")
      response.once("close", () => server.closeIdleConnections())
    }
    const busy = new Set(Array.from(underWay, ({ socket }) => socket))
    for (const socket of sockets) if (!busy.has(socket)) socket.destroy()
  })

  return {
    server,
    drain: end.pipe(
      // A finalizer cannot be interrupted, and what cannot be interrupted has no timeout.
      Effect.interruptible,
      Effect.timeoutOption(patience),
      Effect.zipRight(Effect.sync(() => server.closeAllConnections()))
    )
  }
})

const refuse = (response: ServerResponse): void => {
  response.writeHead(503, { "connection": "close", "content-type": "application/problem+json", "retry-after": "1" })
  response.end(JSON.stringify({
    type: "about:blank",
    title: "Service unavailable",
    status: 503,
    code: "stopping",
    detail: "This process is starting or stopping, and the request was not looked at. Repeat it."
  }))
}
