/**
 * Sends one POST to a receiver that may be anything: slow, broken, hostile, or not there.
 *
 * An attempt ends within its time, whatever the receiver does; reads a bounded answer; reaches only addresses that
 * `AddressPolicy` allows; follows nothing; decompresses nothing; and never tries twice.
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Layer from "effect/Layer"
import type { Exchange } from "../domain/Attempt.ts"
import type { DeliveryFailure } from "../domain/DeliveryError.ts"
import type { AddressPolicy } from "./AddressPolicy.ts"
import { BrokenOff, NoConnectionFree, NotHttp } from "./Classification.ts"
import { Connection } from "./Connection.ts"
import { ConnectionPool } from "./ConnectionPool.ts"
import { Connector } from "./Connector.ts"
import { Flight } from "./Flight.ts"
import { outcome, type Seen } from "./Outcome.ts"
import { Resolver } from "./Resolver.ts"

export interface WebhookRequest {
  /** Not to be changed any more. */
  readonly url: URL
  /** Sent as they are named. Two names that differ only in case are two headers: `HeaderGuard` refuses them. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
  /** From the DNS question to the last byte of the answer. */
  readonly timeoutMs: number
}

export interface WebhookClientOptions {
  readonly userAgent: string
  /** For DNS, TCP and TLS together; at most the attempt's own time. */
  readonly connectTimeoutMs?: number | undefined
  readonly connectionsPerOrigin?: number | undefined
  readonly idleConnectionsMax?: number | undefined
  /** Certificate authorities to trust instead of Node's own, in PEM. */
  readonly ca?: ReadonlyArray<string> | undefined
  /** As `dns.setServers` takes them; the system's where absent. */
  readonly nameservers?: ReadonlyArray<string> | undefined
}

/** Takes what came of an attempt: mostly an Exit. */
export type End = (outcome: Effect.Effect<Exchange, DeliveryFailure>) => void

/** How long an attempt waits for a connection when its origin has as many as it may; before its own time begins. */
const connectionWaitMs = 1_000

export class WebhookClient extends Context.Tag("deeper-hub-webhooks/transport/WebhookClient")<WebhookClient, {
  /** Interruption destroys the socket. */
  readonly post: (request: WebhookRequest) => Effect.Effect<Exchange, DeliveryFailure>
  /** The same as a plain step: what came of it is handed to `end`, once. Returns how to call it off. */
  readonly begin: (request: WebhookRequest, clock: Clock.Clock, end: End) => () => void
  /** Breaks off all requests under way, and every later one: they fail as `interrupted`. For the end of the service. */
  readonly interrupt: Effect.Effect<void>
}>() {
  static readonly layer = (options: WebhookClientOptions): Layer.Layer<WebhookClient, never, AddressPolicy> =>
    Layer.scoped(
      this,
      Effect.map(makePool(options), (pool) => {
        const airspace: Airspace = { isClosed: false }
        const begin: WebhookClient["Type"]["begin"] = (request, clock, end) =>
          setOut(pool, airspace, clock, request, options.userAgent, end)
        return WebhookClient.of({
          begin,
          post: (request) =>
            Effect.clockWith((clock) => Effect.async((end) => Effect.sync(begin(request, clock, end)))),
          interrupt: Effect.sync(() => {
            airspace.isClosed = true
            pool.forEachBusy((connection) => connection.breakOff())
          })
        })
      })
    ).pipe(
      Layer.provide(Connector.layer({ ca: options.ca })),
      Layer.provide(Resolver.layer({ nameservers: options.nameservers }))
    )
}

/** Whether anything more may set out. */
interface Airspace {
  isClosed: boolean
}

const makePool = (options: WebhookClientOptions) =>
  Effect.gen(function*() {
    const connector = yield* Connector
    const runtime = yield* Effect.runtime<never>()
    const limits = {
      connectionsPerOrigin: options.connectionsPerOrigin ?? 64,
      idleConnectionsMax: options.idleConnectionsMax ?? 256
    }
    const connectTimeoutMs = options.connectTimeoutMs ?? 5_000
    return yield* Effect.acquireRelease(
      Effect.sync(() =>
        new ConnectionPool<Connection>(limits, (origin, onClose) =>
          new Connection(origin, { connector, runtime, connectTimeoutMs, onClose }))
      ),
      (pool) =>
        Effect.sync(() => pool.destroy())
    )
  })

/** Sends it as soon as there is a connection for it. Returns how to call it off. */
const setOut = (
  pool: ConnectionPool<Connection>,
  airspace: Airspace,
  clock: Clock.Clock,
  request: WebhookRequest,
  userAgent: string,
  end: End
): () => void => {
  const target = targetOf(request.url)
  if (target === null) {
    end(outcome(unsent(clock.unsafeCurrentTimeMillis(), new NotHttp())))
    return constVoid
  }
  let abandon: () => void = constVoid
  const stopWaiting = pool.acquire(target.origin, Math.min(connectionWaitMs, request.timeoutMs), (connection) => {
    const startedAt = clock.unsafeCurrentTimeMillis()
    if (connection === null) return end(outcome(unsent(startedAt, new NoConnectionFree())))
    if (airspace.isClosed) {
      // Not at once: it may be given to the next who waits, and so on through all of them.
      queueMicrotask(() => pool.release(connection, true))
      return end(outcome(unsent(startedAt, new BrokenOff())))
    }
    const headers = headersOf(request, userAgent)
    const flight = new Flight({
      startedAt,
      timeoutMs: request.timeoutMs,
      secure: target.isSecure,
      connection,
      onEnd: (seen, reusable) => {
        try {
          pool.release(connection, reusable)
        } finally {
          end(outcome(seen))
        }
      }
    })
    abandon = () => {
      if (flight.abandon()) pool.release(connection, false)
    }
    flight.start({
      path: target.path,
      method: "POST",
      headers,
      body: request.body
    })
  })
  return () => {
    stopWaiting()
    abandon()
  }
}

interface Target {
  readonly origin: string
  readonly path: string
  readonly isSecure: boolean
}

/** A URL makes its parts anew whenever it is asked for them, and every text that is new is hashed anew. */
const targets = new WeakMap<URL, Target>()

/** Null where it is not HTTP. */
const targetOf = (url: URL): Target | null => {
  const known = targets.get(url)
  if (known !== undefined) return known
  const { origin, pathname, protocol, search } = url
  if (protocol !== "https:" && protocol !== "http:") return null
  const target = { origin, path: pathname + search, isSecure: protocol === "https:" }
  targets.set(url, target)
  return target
}

const headersOf = ({ headers }: WebhookRequest, userAgent: string): Array<string> => {
  const flat = ["User-Agent", userAgent, "Accept-Encoding", "identity"]
  for (const name of Object.keys(headers)) flat.push(name, headers[name] ?? "")
  return flat
}

const unsent = (startedAt: number, error: unknown): Seen => ({
  startedAt,
  durationMs: 0,
  peerAddress: null,
  certificateExpiresAt: null,
  secure: false,
  reused: false,
  responding: false,
  status: null,
  headers: {},
  retryAfter: null,
  body: new Uint8Array(0),
  bodyTruncated: false,
  error
})
