import { assert, describe, it } from "@effect/vitest"
import { ConnectionPool, type ConnectionPoolOptions, type Pooled } from "../../src/transport/ConnectionPool.ts"

class FakeConnection implements Pooled {
  readonly origin: string
  readonly closeOf: (connection: FakeConnection) => void
  isStale = false
  isDestroyed = false
  constructor(origin: string, closeOf: (connection: FakeConnection) => void) {
    this.origin = origin
    this.closeOf = closeOf
  }
  destroy(): void {
    this.isDestroyed = true
  }
}

const makePool = (options: Partial<ConnectionPoolOptions> = {}) =>
  new ConnectionPool<FakeConnection>(
    { connectionsPerOrigin: 2, idleConnectionsMax: 2, ...options },
    (origin, onClose) => new FakeConnection(origin, onClose)
  )

/** Of a pool that has one free. */
const take = (pool: ConnectionPool<FakeConnection>, origin = "https://a.test"): FakeConnection => {
  const taken: Array<FakeConnection | null> = []
  pool.acquire(origin, 60_000, (connection) => taken.push(connection))
  const [connection] = taken
  if (connection === undefined || connection === null) throw new Error("none was free")
  return connection
}

describe("ConnectionPool", () => {
  it("lends the connection again that was used last", () => {
    const pool = makePool()
    const [a, b] = [take(pool), take(pool)]
    pool.release(a, true)
    pool.release(b, true)
    assert.strictEqual(take(pool), b)
    assert.strictEqual(take(pool), a)
  })

  it("closes what is not fit for use again", () => {
    const pool = makePool()
    const a = take(pool)
    pool.release(a, false)
    assert.isTrue(a.isDestroyed)
    assert.deepStrictEqual(pool.size, { busy: 0, idle: 0, origins: 0 })
  })

  it("B21 never lends a connection past its age", () => {
    const pool = makePool()
    const [a, b] = [take(pool), take(pool)]
    a.isStale = true
    pool.release(a, true)
    assert.isTrue(a.isDestroyed)
    pool.release(b, true)
    b.isStale = true
    const c = take(pool)
    assert.notStrictEqual(c, b)
    assert.isTrue(b.isDestroyed)
  })

  it("bounds the idle connections of all origins, the longest idle closed first", () => {
    const pool = makePool()
    const connections = ["https://a.test", "https://b.test", "https://c.test"].map((origin) => take(pool, origin))
    for (const connection of connections) pool.release(connection, true)
    assert.deepStrictEqual(connections.map(({ isDestroyed }) => isDestroyed), [true, false, false])
    assert.deepStrictEqual(pool.size, { busy: 0, idle: 2, origins: 2 })
  })

  it("makes one wait when its origin has as many as it may, and serves them in turn", () => {
    const pool = makePool()
    const [a, b] = [take(pool), take(pool)]
    const served: Array<readonly [string, FakeConnection | null]> = []
    pool.acquire(a.origin, 60_000, (connection) => served.push(["first", connection]))
    pool.acquire(a.origin, 60_000, (connection) => served.push(["second", connection]))
    const stop = pool.acquire(a.origin, 60_000, (connection) => served.push(["third", connection]))
    take(pool, "https://other.test")
    stop()
    assert.lengthOf(served, 0)
    pool.release(a, true)
    pool.release(b, false)
    assert.strictEqual(served[0]?.[1], a)
    assert.notStrictEqual(served[1]?.[1], b)
    assert.deepStrictEqual(served.map(([who]) => who), ["first", "second"])
    assert.strictEqual(pool.size.busy, 3)
  })

  it("forgets a connection that closed while idle, and leaves one in use to its attempt", () => {
    const pool = makePool()
    const a = take(pool)
    a.closeOf(a)
    assert.isFalse(a.isDestroyed)
    pool.release(a, true)
    a.closeOf(a)
    assert.isTrue(a.isDestroyed)
    assert.deepStrictEqual(pool.size, { busy: 0, idle: 0, origins: 0 })
  })

  it("counts a connection that is given back twice once", () => {
    const pool = makePool()
    const a = take(pool)
    pool.release(a, false)
    pool.release(a, true)
    assert.deepStrictEqual(pool.size, { busy: 0, idle: 0, origins: 0 })
  })

  it("closes all at its end, and tells who waits", () => {
    const pool = makePool()
    const [a, b] = [take(pool), take(pool)]
    const served: Array<FakeConnection | null> = []
    pool.acquire(a.origin, 60_000, (connection) => served.push(connection))
    pool.release(take(pool, "https://b.test"), true)
    pool.destroy()
    assert.isTrue(a.isDestroyed && b.isDestroyed)
    assert.deepStrictEqual(served, [null])
    assert.deepStrictEqual(pool.size, { busy: 0, idle: 0, origins: 0 })
  })
})
