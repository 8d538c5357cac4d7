/**
 * The sockets below the API: how long each may take, and how they end. Node's own `close` waits for every connection that
 * is not idle, also for one on which nothing has come, or half a request; and its timeouts end with the listening. One
 * such caller would keep the process from ever ending.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { createServer, type Server, type ServerResponse } from "node:http"
import type { Socket } from "node:net"
import * as BareProblem from "./BareProblem.ts"
import * as BrokenRequest from "./BrokenRequest.ts"
import * as SecurityHeaders from "./SecurityHeaders.ts"

export class Listener extends Context.Tag("deeper-hub-webhooks/api/Listener")<Listener, {
  readonly server: Server
  /** No more connections or requests; those under way are answered, within the patience; then every connection ends. */
  readonly drain: Effect.Effect<void>
}>() {}

export interface ListenerOptions {
  /** How long a request's header may take to come, and its body again. */
  readonly requestTimeout: Duration.Duration
  /** How long a handler may be silent before it answers. */
  readonly silence: Duration.Duration
}

const patience = "5 seconds"

const limits = ({ requestTimeout, silence }: ListenerOptions) => {
  const ms = Duration.toMillis(requestTimeout)
  const headersTimeout = Math.min(10_000, ms)
  return {
    headersTimeout,
    maxHeaderSize: 16_384,
    // Behind the deadline of RequestBody, which knows how to answer: for bodies that nobody reads.
    requestTimeout: headersTimeout + 2 * ms + 10_000,
    connectionsCheckingInterval: 500,
    // More than the minute after which common load balancers let go: whoever reuses a connection must not find it shut.
    keepAliveTimeout: 65_000,
    /** For a connection on which nothing moves at all, as when nobody fetches an answer. */
    timeout: Duration.toMillis(silence)
  }
}

export const make = (options: ListenerOptions): Effect.Effect<Listener["Type"]> =>
  Effect.sync(() => {
    const { timeout, ...timeouts } = limits(options)
    const server = createServer(timeouts)
    server.timeout = timeout
    const sockets: Sockets = new Map()
    server.on("connection", (socket) => {
      const underWay: Array<ServerResponse> = []
      sockets.set(socket, underWay)
      socket.once("close", () => {
        sockets.delete(socket)
        // Node tells the one whose turn it was to be answered, but nobody who was sent ahead of it.
        for (const response of underWay.splice(0)) if (response.socket === null) response.destroy().emit("close")
      })
    })
    server.on("request", (request, response) => {
      const underWay = sockets.get(request.socket)
      underWay?.push(response)
      response.on("close", () => {
        const at = underWay?.indexOf(response) ?? -1
        if (at !== -1) underWay?.splice(at, 1)
      })
      // No listener but this one: the API is not there yet, or not any more.
      if (server.listenerCount("request") > 1) return
      if (request.url === "/healthz") alive(response)
      else BareProblem.answer(response, stopping)
    })
    BrokenRequest.answer(server, (socket) => sockets.get(socket)?.find((response) => response.socket === socket))

    return { server, drain: drain(server, sockets) }
  })

/** Every connection, and what is under way on it: more than one where a client sends ahead. */
type Sockets = Map<Socket, Array<ServerResponse>>

const drain = (server: Server, sockets: Sockets) =>
  Effect.async<void>((resume) => {
    server.close(() => resume(Effect.void))
    for (const [socket, underWay] of sockets) {
      if (underWay.length === 0) socket.destroy()
      for (const response of underWay) {
        if (!response.headersSent) response.setHeader("connection", "close")
        response.once("close", () => server.closeIdleConnections())
      }
    }
  }).pipe(
    // A finalizer cannot be interrupted, and what cannot be interrupted has no timeout.
    Effect.interruptible,
    Effect.timeoutOption(patience),
    Effect.zipRight(Effect.sync(() => server.closeAllConnections()))
  )

/** Whoever starts or stops lives: nobody is to end it for that. */
const alive = (response: ServerResponse): void => {
  const body = JSON.stringify({ status: "ok" })
  response.writeHead(200, {
    ...SecurityHeaders.headers,
    connection: "close",
    "content-length": body.length,
    "content-type": "application/json"
  }).end(body)
}

const stopping: BareProblem.BareProblem = {
  status: 503,
  title: "Service unavailable",
  code: "stopping",
  detail: "This process is starting or stopping, and the request was not looked at. Repeat it.",
  retryAfterSeconds: 1
}
