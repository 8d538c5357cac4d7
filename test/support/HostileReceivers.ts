/**
 * Receivers of every hostile kind (FAULTS B to F), as many of each as a test wants. Those of one kind share a port and
 * have addresses, or names, of their own: to whoever delivers to them they are so many hosts.
 */
import { Effect, Exit, Scope } from "effect"
import type * as net from "node:net"
import { performance } from "node:perf_hooks"
import { gzipSync } from "node:zlib"
import type { ErrorClass } from "../../src/domain/DeliveryError.ts"
import * as BlackHole from "./BlackHole.ts"
import * as Certificates from "./Certificates.ts"
import * as DnsServer from "./DnsServer.ts"
import * as ScriptedReceiver from "./ScriptedReceiver.ts"

export interface HostileReceiver {
  readonly kind: string
  readonly url: string
  /** What an attempt at it has to end as; null where it is a success all the same. */
  readonly errorClass: ErrorClass | null
  /** It uses up whatever time an attempt has; the others answer, or refuse, as soon as the machine lets them. */
  readonly waits: boolean
}

/** What the receivers themselves saw. */
export interface Sightings {
  /** Connections that are still open. */
  readonly open: number
  /** How long the longest connection of each kind was open, in milliseconds. */
  readonly longestMs: Readonly<Record<string, number>>
}

export interface HostileReceivers {
  readonly receivers: ReadonlyArray<HostileReceiver>
  /** For whoever is to find their names. */
  readonly nameserver: string
  readonly sightings: Effect.Effect<Sightings>
}

type Behaviour = (socket: net.Socket) => void

const head = (status: string, headers = "") => `HTTP/1.1 ${status}\r\nConnection: close\r\n${headers}\r\n`
const chunked = "Transfer-Encoding: chunked\r\n"
const dripEveryMs = 250

const bomb = gzipSync(new Uint8Array(10_000_000))

/** Once the whole request has come: who closes before that may take its own answer back with a reset. */
const onRequest = (answer: Behaviour): Behaviour => (socket) => {
  let request = ""
  const read = (chunk: Buffer) => {
    request += chunk.toString("latin1")
    const bodyAt = request.indexOf("\r\n\r\n") + 4
    const length = Number(/^content-length: (\d+)/im.exec(request)?.[1])
    if (bodyAt < 4 || request.length < bodyAt + length) return
    socket.off("data", read).resume()
    answer(socket)
  }
  socket.on("data", read)
}

const says = (text: string | Uint8Array): Behaviour => onRequest((socket) => socket.end(text))

const drips = (first: string, next: string): Behaviour =>
  onRequest((socket) => ScriptedReceiver.drip(socket, first, next, dripEveryMs))

/** For ever, as fast as it is taken, and a turn for everybody else in between. */
const floods = (first: string, next: string): Behaviour =>
  onRequest((socket) => {
    const piece = next.repeat(Math.ceil(8_192 / next.length))
    const more = () => {
      if (socket.writable) socket.write(piece, () => setImmediate(more))
    }
    socket.write(first)
    more()
  })

const waiting = new Set([
  "B15 hanging name",
  "C23 black hole",
  "D32 handshake stall",
  "E35 never answers",
  "E36 header drip",
  "F50 body drip",
  "F55 never reads"
])

const overTcp: ReadonlyArray<readonly [kind: string, errorClass: ErrorClass | null, behaviour: Behaviour]> = [
  ["C24 reset at accept", "connect_reset", (socket) => socket.resetAndDestroy()],
  ["C24 end at accept", "connect_reset", (socket) => void socket.resume().end()],
  ["E35 never answers", "response_timeout", (socket) => socket.resume()],
  ["E36 header drip", "response_timeout", drips("HTTP/1.1 200 OK\r\n", "X-A: 1\r\n")],
  ["E37 flood of 103", "protocol_error", floods("", "HTTP/1.1 103 Early Hints\r\n\r\n")],
  ["E38 unasked 100", "protocol_error", says("HTTP/1.1 100 Continue\r\n\r\n")],
  ["E38 unasked 101", "protocol_error", says("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")],
  ["E39 flood of headers", "headers_too_large", floods("HTTP/1.1 200 OK\r\n", `X-A: ${"a".repeat(200)}\r\n`)],
  ["E41 redirect loop", "http_3xx", says(head("307 Temporary Redirect", "Location: /\r\nContent-Length: 0\r\n"))],
  ["E44 always 503", "http_5xx", says(head("503 X", "Retry-After: 0\r\nContent-Length: 0\r\n"))],
  ["E47 garbage", "protocol_error", says(new Uint8Array(4_096).fill(0xfe))],
  ["F49 infinite body", null, floods(head("200 OK", chunked), `400\r\n${"a".repeat(1_024)}\r\n`)],
  ["F50 body drip", null, drips(head("200 OK", chunked), "1\r\na\r\n")],
  ["F51 truncated body", null, says(`${head("200 OK", "Content-Length: 10\r\n")}ok`)],
  [
    "F52 gzip bomb",
    null,
    onRequest((socket) => {
      socket.write(head("200 OK", `Content-Encoding: gzip\r\nContent-Length: ${bomb.length}\r\n`))
      socket.end(bomb)
    })
  ],
  ["F55 never reads", "response_timeout", (socket) => socket.pause()]
]

const overTls: ReadonlyArray<readonly [kind: string, errorClass: ErrorClass, behaviour: Behaviour]> = [
  [
    "D31 plain HTTP",
    "tls_handshake",
    (socket) => void socket.once("data", () => socket.write(head("400 Bad Request")))
  ],
  ["D32 handshake stall", "connect_timeout", (socket) => socket.resume()]
]

const names: ReadonlyArray<readonly [kind: string, errorClass: ErrorClass, answer: DnsServer.DnsAnswer]> = [
  ["B14 no such name", "dns_not_found", "nxdomain"],
  ["B15 failing name", "dns_timeout", "servfail"],
  ["B15 hanging name", "dns_timeout", "hang"],
  ["B16 private address", "blocked_address", { A: ["10.0.0.1"] }]
]

/** So many of each kind. */
export const make = (ofEachKind: number): Effect.Effect<HostileReceivers, never, Scope.Scope> =>
  Effect.gen(function*() {
    const watch = makeWatch()
    // One host of each kind after the other: 127.0.1.1, 127.0.1.2, …
    const indexes = Array.from({ length: ofEachKind }, (_, i) => i)
    const addressOf = (i: number) => `127.0.${1 + (i >> 7)}.${1 + (i & 127)}`
    const receiver = (kind: string, errorClass: ErrorClass | null, url: string): HostileReceiver => ({
      kind,
      errorClass,
      url,
      waits: waiting.has(kind)
    })
    const at = (kind: string, errorClass: ErrorClass | null, port: number, scheme = "http") =>
      indexes.map((i) => receiver(kind, errorClass, `${scheme}://${addressOf(i)}:${port}/`))
    const everywhere = "0.0.0.0"

    const tcp = yield* Effect.forEach(
      overTcp,
      ([kind, errorClass, behaviour]) =>
        Effect.map(ScriptedReceiver.raw(watch.of(kind, behaviour), everywhere), (port) => at(kind, errorClass, port))
    )
    const tls = yield* Effect.forEach(
      overTls,
      ([kind, errorClass, behaviour]) =>
        Effect.map(
          ScriptedReceiver.raw(watch.of(kind, behaviour), everywhere),
          (port) => at(kind, errorClass, port, "https")
        )
    )
    const certificate = yield* Certificates.selfSigned({ names: ["receiver.test"] })
    const untrusted = yield* ScriptedReceiver.make({}, { tls: certificate, host: everywhere })
    const blackHole = yield* BlackHole.make(everywhere)

    const hostOf = (kind: number, i: number) => `r${i}.kind${kind}.test`
    const { nameserver } = yield* DnsServer.make(Object.fromEntries(
      names.flatMap(([, , answer], kind) => indexes.map((i) => [hostOf(kind, i), answer] as const))
    ))
    return {
      nameserver,
      receivers: [
        ...tcp.flat(),
        ...tls.flat(),
        ...at("C22 refused", "connect_refused", yield* closedPort),
        ...at("C23 black hole", "connect_timeout", blackHole),
        ...at("D29 self-signed", "tls_untrusted", untrusted.port, "https"),
        ...names.flatMap(([kind, errorClass], n) =>
          indexes.map((i) => receiver(kind, errorClass, `http://${hostOf(n, i)}:8080/`))
        )
      ],
      sightings: watch.sightings
    }
  })

const closedPort = Effect.gen(function*() {
  const scope = yield* Scope.make()
  const port = yield* Scope.extend(ScriptedReceiver.raw(() => {}), scope)
  yield* Scope.close(scope, Exit.void)
  return port
})

/** Keeps the time of every connection. Who never reads does not hear of the end either, and is left out. */
const makeWatch = () => {
  const open = new Set<net.Socket>()
  const longestMs: Record<string, number> = {}
  return {
    of: (kind: string, behaviour: Behaviour): Behaviour => (socket) => {
      behaviour(socket)
      if (socket.isPaused()) return
      const began = performance.now()
      open.add(socket)
      socket.once("close", () => {
        open.delete(socket)
        longestMs[kind] = Math.max(longestMs[kind] ?? 0, Math.round(performance.now() - began))
      })
    },
    sightings: Effect.sync((): Sightings => ({ open: open.size, longestMs: { ...longestMs } }))
  }
}
