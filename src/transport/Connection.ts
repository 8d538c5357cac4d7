/**
 * One undici Client that carries one request at a time over one socket, which it opens when it is first used.
 *
 * We pool these ourselves rather than use undici's Agent: only so is it known which socket an attempt went over (for
 * its peer address, and for whether it was a reused one), is a dial cancelled with the attempt that wanted it, and does
 * no attempt wait in a queue that its deadline does not know. An Agent also dials anew after each aborted request.
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import { constVoid } from "effect/Function"
import * as Runtime from "effect/Runtime"
import type { EventEmitter } from "node:events"
import type { Socket } from "node:net"
import { performance } from "node:perf_hooks"
import { TLSSocket } from "node:tls"
import { type buildConnector, Client, type Dispatcher } from "undici"
import type { Connector, Phase, Progress } from "./Connector.ts"
import { smallReads } from "./SmallReads.ts"

export interface ConnectionOptions {
  readonly connector: Context.Tag.Service<Connector>
  readonly runtime: Runtime.Runtime<never>
  readonly connectTimeoutMs: number
  /** The socket is gone; a connection in use hears of it through its request as well. */
  readonly onClose: (connection: Connection) => void
}

/** How long an idle socket is kept where the receiver does not say. */
const keepAliveMs = 4_000

/** After this a socket is not used again, so that a receiver which moved is found at its new address. */
const ageMaxMs = 10_000

/** undici counts names and values, of a response or its trailers. */
const headerBytesMax = 16_384

/** What a connection carries. */
export interface Carried extends Dispatcher.DispatchHandler {
  readonly breakOff: () => void
}

interface Opened {
  readonly at: number
  readonly address: string | null
  readonly certificateExpiresAt: number | null
  requests: number
}

export class Connection {
  readonly origin: string
  readonly #options: ConnectionOptions
  readonly #client: Client
  #progress: Progress = { phase: "dns", socket: null }
  #opened: Opened | null = null
  #carried: Carried | null = null
  #budgetMs = 0
  #cancelDial: () => void = constVoid

  constructor(origin: string, options: ConnectionOptions) {
    this.origin = origin
    this.#options = options
    this.#client = new Client(origin, {
      connect: (wanted, callback) => this.#dial(wanted, callback),
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: ageMaxMs,
      maxHeaderSize: headerBytesMax,
      // The attempt has a deadline of its own; undici's would be restarted by every byte that drips in.
      headersTimeout: 0,
      bodyTimeout: 0
    })
    this.#client.on("disconnect", () => options.onClose(this))
    // Here undici tells of its own broken assertions. Unheard they would end the process; the deadline ends the attempt.
    const emitter: EventEmitter = this.#client
    emitter.on("error", constVoid)
  }

  /** Where the dial stands; null once the socket is open. */
  get dialing(): Phase | null {
    return this.#opened === null ? this.#progress.phase : null
  }

  get peerAddress(): string | null {
    return this.#opened?.address ?? null
  }

  /** Unix milliseconds at which the peer's certificate ends; null without TLS. */
  get certificateExpiresAt(): number | null {
    return this.#opened?.certificateExpiresAt ?? null
  }

  /** Whether the socket carried a request before the present one. */
  get isReused(): boolean {
    return this.#opened !== null && this.#opened.requests > 1
  }

  get isStale(): boolean {
    return this.#opened !== null && performance.now() - this.#opened.at >= ageMaxMs
  }

  /** A request's failure reaches its handler, also one that undici refuses to send. */
  dispatch(options: Dispatcher.DispatchOptions, timeoutMs: number, handler: Carried): void {
    this.#carried = handler
    this.#budgetMs = Math.min(this.#options.connectTimeoutMs, timeoutMs)
    this.#client.dispatch(options, handler)
  }

  /** The handler calls it when its request goes out on the socket. */
  countRequest(): void {
    if (this.#opened !== null) this.#opened.requests += 1
  }

  /** The request that it carries is over. */
  rest(): void {
    this.#carried = null
  }

  /** Ends the request that it carries, if there is one. */
  breakOff(): void {
    this.#carried?.breakOff()
  }

  destroy(): void {
    this.#cancelDial()
    this.#progress.socket?.destroy()
    this.#client.destroy(null, constVoid)
  }

  #dial({ hostname, port, protocol }: buildConnector.Options, callback: buildConnector.Callback): void {
    const secure = protocol === "https:"
    const target = { hostname, port: port === "" ? (secure ? 443 : 80) : Number(port), secure }
    const progress: Progress = { phase: "dns", socket: null }
    this.#progress = progress
    this.#opened = null
    this.#cancelDial = Runtime.runCallback(this.#options.runtime)(
      this.#options.connector.dial(target, this.#budgetMs, progress),
      {
        onExit: Exit.match({
          onSuccess: (socket) => {
            this.#opened = {
              at: performance.now(),
              address: socket.remoteAddress ?? null,
              certificateExpiresAt: certificateEnd(socket),
              requests: 0
            }
            callback(null, smallReads(socket))
          },
          onFailure: (cause) => {
            progress.socket?.destroy()
            callback(toError(Cause.squash(cause)), null)
          }
        })
      }
    )
  }
}

const certificateEnd = (socket: Socket): number | null => {
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
  return certificate === undefined ? null : Date.parse(certificate.validTo)
}

const toError = (failure: unknown): Error => failure instanceof Error ? failure : new Error(String(failure))
