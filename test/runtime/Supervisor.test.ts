import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, Fiber, Metric, Ref, Scope, TestClock } from "effect"
import { ActorCrashed, type ActorState, restartsMax, Supervisor } from "../../src/runtime/Supervisor.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"

/** An actor that lives so long and dies, and the moments at which it was started. */
const mortal = (lifetime: string | number = 0) =>
  Effect.map(Ref.make<ReadonlyArray<number>>([]), (starts) => ({
    starts,
    actor: Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      yield* Ref.update(starts, (all) => [...all, now])
      yield* Effect.sleep(lifetime as "1 second")
      return yield* Effect.dieMessage("boom")
    })
  }))

const stateOf = (name: string) =>
  Effect.gen(function*() {
    const actors = yield* Effect.flatMap(Supervisor, (supervisor) => supervisor.actors)
    const actor = actors.find((one) => one.name === name)
    return actor ?? assert.fail(`no actor ${name}`)
  })

const supervise = <R>(name: string, actor: Effect.Effect<never, never, R>) =>
  Effect.flatMap(Supervisor, (supervisor) => supervisor.supervise(name, actor))

const watching = Effect.flatMap(Supervisor, (supervisor) => Effect.fork(Effect.flip(supervisor.watch)))

describe("Supervisor", () => {
  it.scoped("restarts an actor after pauses that grow from 100 ms to 1 s, each spread by a fifth", () =>
    Effect.gen(function*() {
      const { actor, starts } = yield* mortal()
      yield* supervise("growing", actor)
      yield* TestClock.adjust("59 seconds")
      const at = yield* Ref.get(starts)
      assert.lengthOf(at, restartsMax + 1)
      for (const [i, start] of at.slice(1).entries()) {
        const pause = start - (at[i] ?? 0)
        const middle = Math.min(100 * 2 ** i, 1_000)
        assert.isTrue(pause >= middle * 0.79 && pause <= middle * 1.21, `pause ${i + 1} was ${pause} ms`)
      }
    }).pipe(Effect.provide(Supervisor.layer)))

  it.scoped("shows what an actor is doing, since when, and why it crashed", () =>
    Effect.gen(function*() {
      const { actor } = yield* mortal("10 seconds")
      yield* TestClock.setTime(1_000)
      yield* supervise("shown", actor)
      yield* TestClock.adjust("9 seconds")
      const fresh: ActorState = { ...yield* stateOf("shown") }
      assert.deepInclude(fresh, { name: "shown", state: "running", restarts: 0, lastCrash: null, since: 1_000 })

      yield* TestClock.adjust("1 second")
      const crashed = yield* stateOf("shown")
      assert.deepInclude(crashed, { state: "restarting", restarts: 1, since: 11_000 })
      assert.strictEqual(crashed.lastCrash?.at, 11_000)
      assert.include(crashed.lastCrash?.message, "boom")

      yield* TestClock.adjust("200 millis")
      const again = yield* stateOf("shown")
      assert.deepInclude(again, { state: "running", restarts: 1, lastCrash: crashed.lastCrash })
      assert.isTrue(again.since >= 11_080 && again.since <= 11_120)
    }).pipe(Effect.provide(Supervisor.layer)))

  it.scoped("ends the watch at the eleventh crash within a minute, and names the actor", () =>
    Effect.gen(function*() {
      const { actor, starts } = yield* mortal()
      const watch = yield* watching
      yield* supervise("doomed", actor)
      yield* TestClock.adjust("10 minutes")
      const crashed = yield* Fiber.join(watch)
      assert.instanceOf(crashed, ActorCrashed)
      assert.strictEqual(crashed.actor, "doomed")
      assert.include(crashed.message, "doomed crashed more than 10 times within a minute")
      assert.include(Cause.pretty(crashed.cause), "boom")
      assert.lengthOf(yield* Ref.get(starts), 11)
      assert.strictEqual((yield* stateOf("doomed")).state, "stopped")
    }).pipe(Effect.provide(Supervisor.layer)))

  it.scoped("goes on for ever with crashes more than a minute apart, and then pauses as after the first", () =>
    Effect.gen(function*() {
      const { actor, starts } = yield* mortal("61 seconds")
      const watch = yield* watching
      yield* supervise("frail", actor)
      yield* TestClock.adjust("30 minutes")
      const at = yield* Ref.get(starts)
      assert.isAbove(at.length, 2 * restartsMax)
      for (const [i, start] of at.slice(1).entries()) {
        const pause = start - (at[i] ?? 0) - 61_000
        assert.isTrue(pause >= 79 && pause <= 121, `pause ${i + 1} was ${pause} ms`)
      }
      assert.isNull(yield* Fiber.poll(watch).pipe(Effect.map((exit) => exit._tag === "None" ? null : exit)))
      assert.strictEqual((yield* stateOf("frail")).state, "running")
    }).pipe(Effect.provide(Supervisor.layer)))

  it.scoped("lets the other actors live on, whatever becomes of one", () =>
    Effect.gen(function*() {
      const beats = yield* Ref.make(0)
      const heart = Effect.forever(Effect.zipRight(Effect.sleep("1 second"), Ref.update(beats, (n) => n + 1)))
      yield* supervise("calm", heart)
      yield* supervise("doomed", (yield* mortal()).actor)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* stateOf("doomed")).state, "stopped")
      assert.strictEqual(yield* Ref.get(beats), 120)
      assert.deepInclude(yield* stateOf("calm"), { state: "running", restarts: 0, lastCrash: null, since: 0 })
      const supervisor = yield* Supervisor
      assert.deepStrictEqual((yield* supervisor.actors).map(({ name }) => name), ["calm", "doomed"])
    }).pipe(Effect.provide(Supervisor.layer)))

  it.scoped("stops an actor with the scope in which it was started, which is no crash", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const ended = yield* Ref.make(false)
      yield* supervise("leaving", Effect.onExit(Effect.never, () => Ref.set(ended, true))).pipe(Scope.extend(scope))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* stateOf("leaving")).state, "running")
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(yield* Ref.get(ended))
      assert.deepInclude(yield* stateOf("leaving"), { state: "stopped", restarts: 0, lastCrash: null, since: 5_000 })
    }).pipe(Effect.provide(Supervisor.layer)))

  it.scoped("does not start an actor again whose scope closes during the pause", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { actor, starts } = yield* mortal()
      yield* Scope.extend(supervise("pausing", actor), scope)
      yield* TestClock.adjust("10 millis")
      assert.strictEqual((yield* stateOf("pausing")).state, "restarting")
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(yield* Ref.get(starts), 1)
      assert.deepInclude(yield* stateOf("pausing"), { state: "stopped", restarts: 1 })
    }).pipe(Effect.provide(Supervisor.layer)))

  it.scoped("takes an actor that interrupts itself for a crashed one", () =>
    Effect.gen(function*() {
      const starts = yield* Ref.make(0)
      yield* supervise("interrupting", Effect.zipRight(Ref.update(starts, (n) => n + 1), Effect.interrupt))
      yield* TestClock.adjust("130 millis")
      assert.strictEqual(yield* Ref.get(starts), 2)
    }).pipe(Effect.provide(Supervisor.layer)))

  it.scoped("counts crashes for the operator, by actor", () =>
    Effect.gen(function*() {
      yield* supervise("counted", (yield* mortal("20 seconds")).actor)
      yield* TestClock.adjust("61 seconds")
      const { count } = yield* Metric.value(Metric.tagged(Metrics.actorRestarts, "actor", "counted"))
      assert.strictEqual(count, 3)
      assert.strictEqual((yield* stateOf("counted")).restarts, 3)
    }).pipe(Effect.provide(Supervisor.layer)))
})
