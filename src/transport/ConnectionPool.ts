/**
 * The connections that attempts borrow. Bounded three ways: so many at once to one origin, so many idle in all (the
 * longest idle goes first, so ten thousand cold receivers cost no more memory than a few), none older than ten seconds.
 */
import { after } from "./Timer.ts"

export interface ConnectionPoolOptions {
  readonly connectionsPerOrigin: number
  readonly idleConnectionsMax: number
}

export interface Pooled {
  readonly origin: string
  /** Too old to be used again. */
  readonly isStale: boolean
  readonly destroy: () => void
}

interface Origin<Connection> {
  busy: number
  /** The latest used is last, and is taken first. */
  readonly idle: Array<Connection>
  readonly waiting: Set<(connection: Connection | null) => void>
}

type Make<Connection> = (origin: string, onClose: (connection: Connection) => void) => Connection

export class ConnectionPool<Connection extends Pooled> {
  readonly #options: ConnectionPoolOptions
  readonly #make: Make<Connection>
  readonly #origins = new Map<string, Origin<Connection>>()
  /** All idle connections, the longest idle first. */
  readonly #idle = new Set<Connection>()
  readonly #busy = new Set<Connection>()

  constructor(options: ConnectionPoolOptions, make: Make<Connection>) {
    this.#options = options
    this.#make = make
  }

  /** At once where one is free, else when one is released; null after `waitMs`. Returns how to stop waiting. */
  acquire(origin: string, waitMs: number, use: (connection: Connection | null) => void): () => void {
    const entry = this.#entry(origin)
    if (entry.busy >= this.#options.connectionsPerOrigin) return wait(entry, waitMs, use)
    const connection = this.#idleOf(entry) ?? this.#open(origin)
    entry.busy += 1
    use(connection)
    return () => {}
  }

  /** Gives a connection back: to be used again after a whole response, else to be closed. */
  release(connection: Connection, reusable: boolean): void {
    if (!this.#busy.delete(connection)) return
    const entry = this.#entry(connection.origin)
    const keep = reusable && !connection.isStale
    if (!keep) connection.destroy()
    const next = entry.waiting.values().next()
    if (next.done !== true) {
      entry.waiting.delete(next.value)
      return next.value(keep ? this.#lend(connection) : this.#open(connection.origin))
    }
    entry.busy -= 1
    if (keep) this.#park(entry, connection)
    this.#forgetIfEmpty(connection.origin, entry)
  }

  /** Those that are lent at this moment. */
  forEachBusy(use: (connection: Connection) => void): void {
    this.#busy.forEach(use)
  }

  /** Closes every connection; what is in flight fails. */
  destroy(): void {
    for (const { waiting } of this.#origins.values()) {
      for (const use of waiting) use(null)
    }
    this.#origins.clear()
    for (const connection of [...this.#idle, ...this.#busy]) connection.destroy()
    this.#idle.clear()
    this.#busy.clear()
  }

  get size(): { readonly busy: number; readonly idle: number; readonly origins: number } {
    return { busy: this.#busy.size, idle: this.#idle.size, origins: this.#origins.size }
  }

  #entry(origin: string): Origin<Connection> {
    const known = this.#origins.get(origin)
    if (known !== undefined) return known
    const entry: Origin<Connection> = { busy: 0, idle: [], waiting: new Set() }
    this.#origins.set(origin, entry)
    return entry
  }

  #idleOf(entry: Origin<Connection>): Connection | null {
    for (let connection = entry.idle.pop(); connection !== undefined; connection = entry.idle.pop()) {
      this.#idle.delete(connection)
      if (!connection.isStale) return this.#lend(connection)
      connection.destroy()
    }
    return null
  }

  #open(origin: string): Connection {
    return this.#lend(this.#make(origin, (connection) => this.#discardIdle(connection)))
  }

  #lend(connection: Connection): Connection {
    this.#busy.add(connection)
    return connection
  }

  #park(entry: Origin<Connection>, connection: Connection): void {
    entry.idle.push(connection)
    this.#idle.add(connection)
    const longestIdle = this.#idle.values().next()
    if (this.#idle.size > this.#options.idleConnectionsMax && longestIdle.done !== true) {
      this.#discardIdle(longestIdle.value)
    }
  }

  /** One in use stays with its attempt, which hears of the closing itself. */
  #discardIdle(connection: Connection): void {
    if (!this.#idle.delete(connection)) return
    connection.destroy()
    const entry = this.#entry(connection.origin)
    const at = entry.idle.indexOf(connection)
    if (at !== -1) entry.idle.splice(at, 1)
    this.#forgetIfEmpty(connection.origin, entry)
  }

  #forgetIfEmpty(origin: string, entry: Origin<Connection>): void {
    if (entry.busy === 0 && entry.idle.length === 0 && entry.waiting.size === 0) this.#origins.delete(origin)
  }
}

const wait = <Connection>(
  entry: Origin<Connection>,
  waitMs: number,
  use: (connection: Connection | null) => void
): () => void => {
  const stop = () => {
    cancel()
    entry.waiting.delete(turn)
  }
  const turn = (connection: Connection | null) => {
    stop()
    use(connection)
  }
  const cancel = after(waitMs, () => turn(null))
  entry.waiting.add(turn)
  return stop
}
