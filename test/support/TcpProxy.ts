/** Stands between a client and a server, to be cut, silenced, slowed down and mended by the test. */
import { Effect, type Scope } from "effect"
import * as net from "node:net"
import { performance } from "node:perf_hooks"

export interface TcpProxy {
  readonly url: string
  /** Ends every connection and takes no new one. */
  readonly cut: Effect.Effect<void>
  /** Connections stay open, and nothing goes through them any more. */
  readonly silence: Effect.Effect<void>
  /** Whatever goes through takes so long, in each direction. */
  readonly delay: (ms: number) => Effect.Effect<void>
  /** Ends one connection, chosen by a number from 0 to 1, as a router does that lost its state. */
  readonly reset: (choice: number) => Effect.Effect<void>
  /** The next request with this text reaches the server; its answer is lost, and the connection with it. */
  readonly loseAnswerTo: (text: string) => Effect.Effect<void>
  /** New connections work again; what was silenced ends. */
  readonly mend: Effect.Effect<void>
  /** The longest that a client waited for an answer on one connection, in milliseconds, whether one came or not. */
  readonly longestWaitMs: Effect.Effect<number>
}

/** A name and the text that it is given to, as Postgres' protocol has them (Parse). */
const prepared = /([0-9a-f]{24}_\d+)\0([^\0]+)\0/g

/** What holds for all connections at the moment. */
interface Weather {
  isCut: boolean
  isSilent: boolean
  delayMs: number
  /** The text after which a connection ends. */
  lost: string | null
  longestWaitMs: number
}

export const make = (target: string): Effect.Effect<TcpProxy, never, Scope.Scope> =>
  Effect.gen(function*() {
    const url = new URL(target)
    const address = { host: url.hostname, port: Number(url.port) }
    const links = new Set<Link>()
    const weather: Weather = { isCut: false, isSilent: false, delayMs: 0, lost: null, longestWaitMs: 0 }
    const cut = () => {
      for (const link of links) link.end()
    }
    const server = net.createServer((client) => {
      if (weather.isCut) return client.destroy()
      const link = new Link(client, net.connect(address), weather)
      links.add(link)
      client.once("close", () => links.delete(link))
    })
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          cut()
        })
    )
    url.hostname = "127.0.0.1"
    url.port = String((server.address() as net.AddressInfo).port)
    const turn = (changes: Partial<Weather>) => Effect.sync(() => void Object.assign(weather, changes))
    return {
      url: url.href,
      cut: Effect.zipRight(turn({ isCut: true }), Effect.sync(cut)),
      silence: turn({ isSilent: true }),
      delay: (delayMs) => turn({ delayMs }),
      reset: (choice) => Effect.sync(() => [...links][Math.floor(choice * links.size)]?.reset()),
      loseAnswerTo: (lost) => turn({ lost }),
      mend: Effect.suspend(() => {
        if (weather.isSilent) cut()
        return turn({ isCut: false, isSilent: false, delayMs: 0 })
      }),
      longestWaitMs: Effect.sync(() => weather.longestWaitMs)
    }
  })

/** One client's connection and ours to the server. */
class Link {
  private askedAt: number | null = null
  /** By the names that they were prepared under. */
  private readonly statements = new Map<string, string>()
  private readonly client: net.Socket
  private readonly sockets: ReadonlyArray<net.Socket>
  private readonly weather: Weather

  constructor(client: net.Socket, server: net.Socket, weather: Weather) {
    this.client = client
    this.weather = weather
    this.sockets = [client, server]
    let isEnding = false
    for (const socket of this.sockets) {
      socket.on("error", () => {})
      socket.on("close", () => {
        this.waited()
        this.end()
      })
    }
    const toServer = new Way(server, weather)
    const toClient = new Way(client, weather)
    client.on("data", (bytes) => {
      this.askedAt ??= performance.now()
      if (weather.isSilent) return
      isEnding ||= this.isLast(bytes)
      toServer.carry(bytes)
    })
    server.on("data", (bytes) => {
      if (weather.isSilent) return
      if (isEnding) return this.end()
      this.waited()
      toClient.carry(bytes)
    })
  }

  end(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  reset(): void {
    this.client.resetAndDestroy()
  }

  /** Whether these bytes are the last that the client will have an answer to. */
  private isLast(bytes: Buffer): boolean {
    this.learn(bytes)
    if (this.weather.lost === null || !this.asksFor(bytes, this.weather.lost)) return false
    this.weather.lost = null
    return true
  }

  /** Of a statement that was prepared on this connection only the name is sent again. */
  private asksFor(bytes: Buffer, text: string): boolean {
    return bytes.includes(text) ||
      [...this.statements].some(([name, statement]) => statement.includes(text) && bytes.includes(name))
  }

  private learn(bytes: Buffer): void {
    for (const [, name = "", statement = ""] of bytes.toString("latin1").matchAll(prepared)) {
      this.statements.set(name, statement)
    }
  }

  private waited(): void {
    if (this.askedAt !== null) {
      this.weather.longestWaitMs = Math.max(this.weather.longestWaitMs, performance.now() - this.askedAt)
    }
    this.askedAt = null
  }
}

/** One direction of a link. However the delay changes, bytes stay in their order. */
class Way {
  private readonly waiting: Array<{ readonly bytes: Buffer; readonly dueAt: number }> = []

  private readonly to: net.Socket
  private readonly weather: Weather

  constructor(to: net.Socket, weather: Weather) {
    this.to = to
    this.weather = weather
  }

  carry(bytes: Buffer): void {
    if (this.weather.delayMs === 0 && this.waiting.length === 0) return void this.to.write(bytes)
    this.waiting.push({ bytes, dueAt: performance.now() + this.weather.delayMs })
    if (this.waiting.length === 1) this.wait()
  }

  private wait(): void {
    const [next] = this.waiting
    if (next === undefined) return
    // @effect-diagnostics-next-line globalTimers:off
    setTimeout(() => {
      this.waiting.shift()
      if (!this.to.destroyed) this.to.write(next.bytes)
      this.wait()
    }, Math.max(0, next.dueAt - performance.now()))
  }
}
