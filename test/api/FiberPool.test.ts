import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, FiberId, Scope } from "effect"
import * as FiberPool from "../../src/api/FiberPool.ts"

/** Runs it there, and waits for what comes of it. */
const runIn = <A, E>(pool: FiberPool.FiberPool, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.async((resume) => {
    pool.run(effect, (exit) => resume(exit))
  })

/** Who runs it. */
const runner = Effect.fiberId

describe("FiberPool", () => {
  it.scoped("runs one effect after another in the same fiber, and as many fibers as there are at once", () =>
    Effect.gen(function*() {
      const pool = yield* FiberPool.make
      const first = yield* runIn(pool, runner)
      assert.deepStrictEqual(yield* runIn(pool, runner), first)
      const go = yield* Deferred.make<void>()
      const busy = Effect.zipRight(Deferred.await(go), runner)
      const [one, other] = yield* Effect.zip(
        Effect.zip(runIn(pool, busy), runIn(pool, busy), { concurrent: true }),
        Deferred.succeed(go, undefined),
        { concurrent: true }
      ).pipe(Effect.map(([both]) => both))
      assert.deepStrictEqual(one, first)
      assert.notDeepEqual(other, first)
    }))

  it.scoped("tells of failures and bugs, and goes on with the next", () =>
    Effect.gen(function*() {
      const pool = yield* FiberPool.make
      const first = yield* runIn(pool, runner)
      assert.deepStrictEqual(yield* Effect.exit(runIn(pool, Effect.fail("no"))), Exit.fail("no"))
      assert.deepStrictEqual(yield* Effect.exit(runIn(pool, Effect.die("bug"))), Exit.die("bug"))
      assert.deepStrictEqual(yield* runIn(pool, runner), first)
    }))

  it.scoped("ends what is interrupted with its fiber, and nothing else", () =>
    Effect.gen(function*() {
      const pool = yield* FiberPool.make
      const first = yield* runIn(pool, runner)
      const begun = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<Exit.Exit<never>>()
      let told = 0
      const interrupt = pool.run(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never), (exit) => {
        told += 1
        Deferred.unsafeDone(ended, Effect.succeed(exit))
      })
      yield* Deferred.await(begun)
      interrupt(FiberId.none)
      interrupt(FiberId.none)
      const exit = yield* Deferred.await(ended)
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      const next = yield* runIn(pool, runner)
      assert.notDeepEqual(next, first)
      interrupt(FiberId.none)
      assert.strictEqual(told, 1)
      assert.deepStrictEqual(yield* runIn(pool, runner), next, "what has ended is not interrupted any more")
    }))

  it.scoped("tells of what could not be interrupted, and hands its fiber to nobody", () =>
    Effect.gen(function*() {
      const pool = yield* FiberPool.make
      const go = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<Exit.Exit<FiberId.FiberId>>()
      const interrupt = pool.run(
        Effect.uninterruptible(Effect.zipRight(Deferred.await(go), runner)),
        (exit) => Deferred.unsafeDone(ended, Effect.succeed(exit))
      )
      interrupt(FiberId.none)
      yield* Deferred.succeed(go, undefined)
      yield* Deferred.await(ended)
      const next = yield* Effect.zip(runIn(pool, runner), runIn(pool, runner))
      assert.deepStrictEqual(next[0], next[1])
    }))

  it.effect("lets what is under way end when it closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const pool = yield* Scope.extend(FiberPool.make, scope)
      const go = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<Exit.Exit<number>>()
      pool.run(Effect.as(Deferred.await(go), 7), (exit) => Deferred.unsafeDone(ended, Effect.succeed(exit)))
      const rested = yield* runIn(pool, runner)
      yield* Scope.close(scope, Exit.void)
      yield* Deferred.succeed(go, undefined)
      assert.deepStrictEqual(yield* Deferred.await(ended), Exit.succeed(7))
      assert.notDeepEqual(yield* runIn(pool, runner), rested, "who rested has ended")
    }))
})
