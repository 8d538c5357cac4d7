import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, TestClock, TestServices } from "effect"
import * as OwnConnection from "../../src/persistence/OwnConnection.ts"
import { PersistenceError, transaction } from "../../src/persistence/Postgres.ts"
import { ageMaxMs, entriesMax, ReadCache, type Table } from "../../src/persistence/ReadCache.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"
import * as Stores from "../support/Stores.ts"

const makeCache = Effect.map(Layer.build(Layer.fresh(ReadCache.layer)), Context.get(ReadCache))

/** Answers how many look-ups there were by then: what is remembered is the same number again. */
const reader = (cache: ReadCache["Type"], table: Table = "clients") =>
  Effect.map(cache.open<number>(table), (memory) => {
    let lookups = 0
    const read = (key = "a", keptMs = Infinity) => memory.read(key, () => Effect.sync(() => ++lookups), () => keptMs)
    const remembers = Effect.zipWith(read("probe"), read("probe"), (one, other) => one === other)
    return { read, remembers: eventually(remembers, (isSame) => isSame) }
  })

/** One that hears of changes. */
const listening = Effect.gen(function*() {
  const cache = yield* makeCache
  // As the actor does: a busy machine may take longer than a connection may.
  yield* Effect.forkScoped(Effect.retry(cache.listen, OwnConnection.reconnecting))
  const { remembers } = yield* reader(cache)
  yield* remembers
  return { cache, ...yield* reader(cache) }
})

/** A look-up that goes on until it is told to end. */
const slowly = Effect.gen(function*() {
  const begun = yield* Deferred.make<void>()
  const end = yield* Deferred.make<string>()
  return {
    lookup: () => Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(end)),
    begun: Deferred.await(begun),
    end: (answer: string) => Deferred.succeed(end, answer)
  }
})

const forever = () => Infinity

layer(PgTest.layer, Stores.options)("What was read", (it) => {
  it.scoped("is remembered from when changes are heard, and not before", () =>
    Effect.gen(function*() {
      const cache = yield* makeCache
      const { read, remembers } = yield* reader(cache)
      assert.deepStrictEqual([yield* read(), yield* read()], [1, 2])
      yield* Effect.forkScoped(cache.listen)
      yield* remembers
      const first = yield* read()
      assert.strictEqual(yield* read(), first)
      assert.isAbove(first, 2)
    }))

  it.scoped("is forgotten with the listening connection, and what is read while there is none is not kept", () =>
    Effect.gen(function*() {
      const cache = yield* makeCache
      const { read, remembers } = yield* reader(cache)
      const listener = yield* Effect.forkScoped(Effect.flip(cache.listen))
      yield* remembers
      const before = yield* read()
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'deeper-hub-webhooks/changes'`
      const error = yield* soon(Fiber.join(listener))
      assert.strictEqual(error._tag, "PersistenceError")
      const deaf = [yield* read(), yield* read()]
      assert.deepStrictEqual(deaf, [before + 1, before + 2])
      yield* Effect.forkScoped(cache.listen)
      yield* remembers
      assert.isAbove(yield* read(), before + 2)
    }))

  it.scoped("is forgotten when another connection changes its table, in whatever way, and no other table's is", () =>
    Effect.gen(function*() {
      const { cache } = yield* listening
      const sql = yield* SqlClient.SqlClient
      const readers = {
        api_keys: yield* reader(cache, "api_keys"),
        clients: yield* reader(cache, "clients"),
        event_types: yield* reader(cache, "event_types")
      }
      const id = "0195e6a0-0000-7000-8000-000000000001"
      const changes = [
        ["clients", sql`INSERT INTO clients (id) VALUES ('changing')`],
        ["clients", sql`UPDATE clients SET name = 'x' WHERE id = 'changing'`],
        [
          "api_keys",
          sql`
            INSERT INTO api_keys (id, client_id, role, secret_hash) VALUES (${id}, 'changing', 'viewer', sha256('x'))`
        ],
        ["api_keys", sql`UPDATE api_keys SET revoked_at = now() WHERE id = ${id}`],
        ["api_keys", sql`DELETE FROM api_keys WHERE id = ${id}`],
        ["clients", sql`DELETE FROM clients WHERE id = 'changing'`],
        ["event_types", sql`UPDATE event_types SET sensitive_paths = '{a}' WHERE name = 'deal.won'`],
        ["event_types", sql`TRUNCATE event_types`]
      ] as const
      const tables = ["api_keys", "clients", "event_types"] as const
      const all = Effect.forEach(tables, (table) => readers[table].read())
      for (const [changed, change] of changes) {
        const before = yield* all
        yield* change
        const after = yield* eventually(
          all,
          (answers) => answers[tables.indexOf(changed)] !== before[tables.indexOf(changed)]
        )
        for (const [at, table] of tables.entries()) {
          if (table !== changed) assert.strictEqual(after[at], before[at], `${changed} changed, not ${table}`)
        }
      }
    }))

  it.scoped("before a change ended is not kept, and answers nobody who asks after it", () =>
    Effect.gen(function*() {
      const { cache } = yield* listening
      const memory = yield* cache.open<string>("clients")
      const [old, fresh] = yield* Effect.all([slowly, slowly])
      const early = yield* Effect.fork(memory.read("a", old.lookup, forever))
      yield* old.begun
      yield* cache.forgetting("clients")(Effect.void)
      const late = yield* Effect.fork(memory.read("a", fresh.lookup, forever))
      yield* fresh.begun
      yield* fresh.end("new")
      assert.strictEqual(yield* Fiber.join(late), "new")
      yield* old.end("old")
      assert.strictEqual(yield* Fiber.join(early), "old")
      assert.strictEqual(yield* memory.read("a", () => Effect.succeed("asked again"), forever), "new")
    }))

  it.scoped("at once by many is looked up once, also where the first of them leaves", () =>
    Effect.gen(function*() {
      const { cache } = yield* listening
      const memory = yield* cache.open<string>("clients")
      const { begun, end, lookup } = yield* slowly
      const first = yield* Effect.fork(memory.read("a", lookup, forever))
      yield* begun
      const others = yield* Effect.forEach([1, 2, 3], () =>
        Effect.fork(memory.read("a", () => Effect.succeed("asked again"), forever)))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      yield* end("shared")
      assert.deepStrictEqual(yield* Fiber.join(Fiber.all(others)), ["shared", "shared", "shared"])
    }))

  it.scoped("and is not to be kept, or could not be read, is asked for again", () =>
    Effect.gen(function*() {
      const { cache, read } = yield* listening
      assert.deepStrictEqual([yield* read("a", 0), yield* read("a", -1), yield* read()], [1, 2, 3])
      const memory = yield* cache.open<string>("clients")
      const away = new PersistenceError({ operation: "reading", cause: "away" })
      assert.strictEqual(yield* Effect.flip(memory.read("a", () => Effect.fail(away), forever)), away)
      assert.strictEqual(yield* memory.read("a", () => Effect.succeed("back"), forever), "back")
    }))

  it.scoped("is forgotten when the transaction of a change has ended, and not before", () =>
    Effect.gen(function*() {
      const { cache, read } = yield* listening
      const sql = yield* SqlClient.SqlClient
      for (const outcome of [Effect.void, Effect.fail("rolled back" as const)]) {
        const before = yield* read()
        const [changed, goOn] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const change = Effect.gen(function*() {
          yield* transaction(sql)(cache.forgetting("clients")(sql`SELECT 1`))
          yield* Deferred.succeed(changed, undefined)
          yield* Deferred.await(goOn)
          return yield* outcome
        })
        const changing = yield* Effect.fork(Effect.ignore(transaction(sql)(change)))
        yield* Deferred.await(changed)
        assert.strictEqual(yield* read(), before)
        yield* Deferred.succeed(goOn, undefined)
        yield* Fiber.join(changing)
        assert.strictEqual(yield* read(), before + 1)
      }
    }))

  it.scoped("within a transaction is neither kept nor taken from memory", () =>
    Effect.gen(function*() {
      const { read } = yield* listening
      const sql = yield* SqlClient.SqlClient
      const before = yield* read()
      assert.strictEqual(yield* transaction(sql)(read()), before + 1)
      assert.strictEqual(yield* read(), before)
    }))
})

layer(PgTest.layer, { timeout: "60 seconds" })("The age of what was read", (it) => {
  it.scoped("has a bound, in case nothing is heard any more", () =>
    Effect.gen(function*() {
      const { read } = yield* TestServices.provideLive(listening)
      const [long, short] = [yield* read("long"), yield* read("short", 500)]
      yield* TestClock.adjust(499)
      assert.strictEqual(yield* read("short"), short)
      yield* TestClock.adjust(1)
      assert.notStrictEqual(yield* read("short"), short)
      yield* TestClock.adjust(ageMaxMs - 501)
      assert.strictEqual(yield* read("long"), long)
      yield* TestClock.adjust(1)
      assert.notStrictEqual(yield* read("long"), long)
    }))

  it.scoped("decides what is forgotten where there is too much", () =>
    Effect.gen(function*() {
      const { read } = yield* TestServices.provideLive(listening)
      for (let n = 1; n <= entriesMax; n++) yield* read(`k${n}`)
      assert.strictEqual(yield* read("k1"), 1)
      const more = yield* read("one more")
      assert.strictEqual(yield* read("k2"), 2)
      assert.strictEqual(yield* read("k1"), more + 1)
    }))
})
