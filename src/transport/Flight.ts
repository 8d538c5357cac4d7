/** One request on its way: listens to undici, watches the deadline, and ends exactly once. */
import { performance } from "node:perf_hooks"
import type { Dispatcher } from "undici"
import { BrokenOff, DeadlinePassed, ProtocolViolation } from "./Classification.ts"
import type { Carried, Connection } from "./Connection.ts"
import type { Seen } from "./Outcome.ts"
import { after } from "./Timer.ts"

/** How much of a response's body is kept; the rest is not read. */
const bodyBytesMax = 16_384

/** 1xx responses before the real one. Each would restart a timer of undici's, without end. */
const interimMax = 10

export interface FlightOptions {
  readonly startedAt: number
  readonly timeoutMs: number
  readonly secure: boolean
  readonly connection: Connection
  /** Called once. The connection may carry another request only after a response that was read to its end. */
  readonly onEnd: (seen: Seen, reusable: boolean) => void
}

/** As undici hands them over: the values of a name that came more than once in a list. */
type ReceivedHeaders = Record<string, string | Array<string> | undefined>

const none: Record<string, string> = {}
const empty = new Uint8Array(0)

export class Flight implements Carried {
  readonly #options: FlightOptions
  readonly #began = performance.now()
  readonly #cancelDeadline: () => void
  readonly #chunks: Array<Uint8Array> = []
  #bytes = 0
  #interim = 0
  #responding = false
  #status: number | null = null
  #headers = none
  #retryAfter: string | null = null
  #ended = false

  constructor(options: FlightOptions) {
    this.#options = options
    this.#cancelDeadline = after(
      options.timeoutMs,
      () => this.#end(new DeadlinePassed({ dialing: options.connection.dialing }), false)
    )
  }

  start(request: Dispatcher.DispatchOptions): void {
    const { connection, timeoutMs } = this.#options
    try {
      connection.dispatch(request, timeoutMs, this)
    } catch (error) {
      this.#end(error, false)
    }
  }

  /** Nobody wants the outcome any more. False where it had ended already, and its connection may be another's. */
  abandon(): boolean {
    return this.#stop()
  }

  /** It ends here, whatever the receiver does. */
  breakOff(): void {
    this.#end(new BrokenOff(), false)
  }

  onRequestStart(): void {
    this.#options.connection.countRequest()
  }

  onResponseStarted(): void {
    this.#responding = true
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: ReceivedHeaders
  ): void {
    if (status < 100) return this.#end(new ProtocolViolation({ what: "its status is no number from 100" }), false)
    if (status < 200) {
      this.#interim += 1
      if (this.#interim > interimMax) {
        this.#end(new ProtocolViolation({ what: `more than ${interimMax} interim responses` }), false)
      }
      return
    }
    this.#status = status
    this.#headers = joined(headers)
    const retryAfter = headers["retry-after"]
    this.#retryAfter = (Array.isArray(retryAfter) ? retryAfter[0] : retryAfter) ?? null
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Uint8Array): void {
    if (this.#ended) return
    const room = bodyBytesMax - this.#bytes
    this.#chunks.push(chunk.byteLength > room ? chunk.subarray(0, room) : chunk)
    this.#bytes += chunk.byteLength
    if (this.#bytes > bodyBytesMax) this.#end(null, false)
  }

  onResponseEnd(): void {
    this.#end(null, true)
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#end(error, false)
  }

  #stop(): boolean {
    if (this.#ended) return false
    this.#ended = true
    this.#cancelDeadline()
    this.#options.connection.rest()
    return true
  }

  #end(error: unknown, reusable: boolean): void {
    if (!this.#stop()) return
    const { connection, onEnd, secure, startedAt } = this.#options
    onEnd({
      startedAt,
      durationMs: Math.round(performance.now() - this.#began),
      peerAddress: connection.peerAddress,
      certificateExpiresAt: connection.certificateExpiresAt,
      secure,
      reused: connection.isReused,
      responding: this.#responding,
      status: this.#status,
      headers: this.#headers,
      retryAfter: this.#retryAfter,
      body: this.#body(),
      bodyTruncated: this.#bytes > bodyBytesMax,
      error
    }, reusable)
  }

  /** A copy: the chunks are windows on the socket's much larger buffers. */
  #body(): Uint8Array {
    if (this.#bytes === 0) return empty
    const body = new Uint8Array(Math.min(this.#bytes, bodyBytesMax))
    let at = 0
    for (const chunk of this.#chunks) {
      body.set(chunk, at)
      at += chunk.byteLength
    }
    return body
  }
}

/** Mostly each is there once, and what undici made of them is as good as a copy. */
const joined = (headers: ReceivedHeaders): Record<string, string> => {
  if (isJoined(headers)) return headers
  const all: Record<string, string> = Object.create(null)
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    all[name] = Array.isArray(value) ? value.join(", ") : value ?? ""
  }
  return all
}

const isJoined = (headers: ReceivedHeaders): headers is Record<string, string> =>
  Object.values(headers).every((value) => typeof value === "string")
