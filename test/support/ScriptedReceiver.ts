/**
 * A webhook receiver on loopback that does what the test says: an answer, a list of answers, or a function of the
 * request. It keeps every request with its raw body; take from `requests` to wait for one.
 */
import { Effect, Either, Layer, Queue, type Scope } from "effect"
import * as http from "node:http"
import * as https from "node:https"
import * as net from "node:net"
import { AddressPolicy, make as makePolicy } from "../../src/transport/AddressPolicy.ts"
import { parseRange } from "../../src/transport/AddressRange.ts"

interface ReceivedRequest {
  readonly method: string
  readonly path: string
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** Names and values in turn, as they came. */
  readonly rawHeaders: ReadonlyArray<string>
  readonly body: Buffer
  readonly text: string
  /** Which connection it came over, counted from 1. */
  readonly connection: number
}

interface Reply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | ReadonlyArray<string>>>
  readonly body?: string | Uint8Array
}

/** Bytes for the socket as they are, and what becomes of the socket then. */
interface RawReply {
  readonly raw: string | Uint8Array
  readonly after: "keep" | "end" | "reset"
}

export type Answer =
  | Reply
  | RawReply
  | "hang"
  | "reset"
  | ((request: ReceivedRequest, socket: net.Socket) => Answer | void)

export interface ScriptedReceiver {
  readonly port: number
  readonly url: (path?: string) => URL
  /** Every request so far, the first one first. */
  readonly received: ReadonlyArray<ReceivedRequest>
  /** The same requests, to wait for. */
  readonly requests: Queue.Dequeue<ReceivedRequest>
  /** From now on it answers so. */
  readonly answer: (...script: ReadonlyArray<Answer>) => Effect.Effect<void>
  readonly connections: Effect.Effect<number>
}

export interface ReceiverOptions {
  readonly tls?: https.ServerOptions
  readonly host?: string
  /** Any free one where absent. */
  readonly port?: number
}

/** The answers in their order; the last one goes on for ever. */
export const make = (
  script: Answer | ReadonlyArray<Answer> = { status: 200 },
  options: ReceiverOptions = {}
): Effect.Effect<ScriptedReceiver, never, Scope.Scope> =>
  Effect.gen(function*() {
    const requests = yield* Queue.unbounded<ReceivedRequest>()
    const received: Array<ReceivedRequest> = []
    const connections = new Map<net.Socket, number>()
    let answers: ReadonlyArray<Answer> = isScript(script) ? script : [script]
    const next = (): Answer => {
      const [first = "hang", ...rest] = answers
      if (rest.length > 0) answers = rest
      return first
    }
    const listener: http.RequestListener = (incoming, response) => {
      const chunks: Array<Uint8Array> = []
      incoming.on("data", (chunk: Uint8Array) => chunks.push(chunk))
      incoming.on("end", () => {
        const request = record(incoming, Buffer.concat(chunks), connections.get(incoming.socket) ?? 0)
        received.push(request)
        Queue.unsafeOffer(requests, request)
        reply(next(), request, response)
      })
    }
    const server = options.tls === undefined ? http.createServer(listener) : https.createServer(options.tls, listener)
    server.on(options.tls === undefined ? "connection" : "secureConnection", (socket: net.Socket) => {
      connections.set(socket, connections.size + 1)
      socket.on("error", () => {})
    })
    server.on("tlsClientError", () => {})
    const host = options.host ?? "127.0.0.1"
    const port = yield* listen(server, host, options.port)
    const scheme = options.tls === undefined ? "http" : "https"
    return {
      port,
      url: (path = "/") => new URL(path, `${scheme}://${net.isIPv6(host) ? `[${host}]` : host}:${port}`),
      received,
      requests,
      answer: (...answer) =>
        Effect.sync(() => {
          answers = answer
        }),
      connections: Effect.sync(() => connections.size)
    }
  })

/** For what HTTP servers do not let a test do: a socket as it was accepted. */
export const raw = (
  onSocket: (socket: net.Socket) => void,
  host = "127.0.0.1"
): Effect.Effect<number, never, Scope.Scope> =>
  Effect.gen(function*() {
    const sockets = new Set<net.Socket>()
    const server = net.createServer((socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      onSocket(socket)
    })
    const port = yield* listen(server, host)
    yield* Effect.addFinalizer(() => Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
    return port
  })

/** Writes it at once, then the other thing every so often for as long as the socket is open. */
export const drip = (
  socket: net.Socket,
  first: string | Uint8Array,
  next: string | Uint8Array,
  everyMs = 20
): void => {
  socket.write(first)
  // @effect-diagnostics-next-line globalTimers:off
  const interval = setInterval(() => socket.write(next), everyMs)
  socket.on("close", () => clearInterval(interval))
}

/** Lets deliveries reach this machine: every port, or the ones that are named. */
export const allowLoopback = (...ports: ReadonlyArray<number>): Layer.Layer<AddressPolicy> => {
  const ranges = ports.length === 0
    ? ["127.0.0.0/8", "::1/128"]
    : ports.flatMap((port) => [`127.0.0.0/8:${port}`, `[::1/128]:${port}`])
  const allowed = ranges.map((range) => Either.getOrThrow(parseRange(range)))
  return Layer.succeed(AddressPolicy, makePolicy({ disallowed: [], allowed }))
}

const listen = (server: net.Server, host: string, port = 0): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.once("error", (error) => resume(Effect.die(error)))
      server.listen(port, host, () => {
        const address = server.address()
        resume(Effect.succeed(address !== null && typeof address === "object" ? address.port : 0))
      })
    }),
    () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        if (server instanceof http.Server) server.closeAllConnections()
      })
  )

const isScript = (script: Answer | ReadonlyArray<Answer>): script is ReadonlyArray<Answer> => Array.isArray(script)

const record = (incoming: http.IncomingMessage, body: Buffer, connection: number): ReceivedRequest => ({
  method: incoming.method ?? "",
  path: incoming.url ?? "",
  headers: Object.fromEntries(
    Object.entries(incoming.headersDistinct).map(([name, values]) => [name, (values ?? []).join(", ")])
  ),
  rawHeaders: incoming.rawHeaders,
  body,
  text: body.toString("utf8"),
  connection
})

const reply = (answer: Answer, request: ReceivedRequest, response: http.ServerResponse): void => {
  const { socket } = response
  if (answer === "hang" || socket === null) return
  if (answer === "reset") {
    socket.resetAndDestroy()
    return
  }
  if (typeof answer === "function") return reply(answer(request, socket) ?? "hang", request, response)
  if ("raw" in answer) {
    socket.write(answer.raw, () => {
      if (answer.after === "end") socket.end()
      if (answer.after === "reset") socket.resetAndDestroy()
    })
    return
  }
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value)
  response.writeHead(answer.status ?? 200)
  response.end(answer.body)
}
