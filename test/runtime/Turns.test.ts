import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import * as Ids from "../../src/domain/Ids.ts"
import { Turns } from "../../src/runtime/Turns.ts"

const turnOfTheLoop = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

const fakeTimers = Effect.acquireRelease(
  Effect.sync(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate"] })),
  () => Effect.sync(() => vi.useRealTimers())
)

/** Whatever comes, by its name, in the order in which it begins. */
const make = () => {
  const begun: Array<string> = []
  const turns = new Turns<string>((one) => void begun.push(one))
  return { begun, turns }
}

describe("Turns", () => {
  it.live("lets the event loop turn between a few that begin and the next", () =>
    Effect.gen(function*() {
      const { begun, turns } = make()
      const webhookId = yield* Ids.make("WebhookId")
      for (let n = 0; n < 20; n++) turns.add(String(n), { webhookId, isFresh: true })
      const counts = [begun.length]
      for (let passed = 0; passed < 5; passed++) {
        assert.strictEqual(turns.size, 20 - begun.length)
        yield* turnOfTheLoop
        counts.push(begun.length)
      }
      assert.deepStrictEqual(counts, [8, 16, 20, 20, 20, 20])
      assert.deepStrictEqual(begun, Array.from({ length: 20 }, (_, n) => String(n)), "in the order in which they came")
    }))

  it.live("lets what is fresh go before what was claimed, but for a quarter of each turn", () =>
    Effect.gen(function*() {
      const { begun, turns } = make()
      const webhookId = yield* Ids.make("WebhookId")
      for (let n = 0; n < 9; n++) turns.add(`claimed ${n}`, { webhookId, isFresh: false })
      for (let n = 0; n < 11; n++) turns.add(`fresh ${n}`, { webhookId, isFresh: true })
      const named = (kind: string, from: number, to: number) =>
        Array.from({ length: to - from }, (_, n) => `${kind} ${from + n}`)
      assert.deepStrictEqual(begun, [...named("claimed", 0, 4), ...named("fresh", 0, 4)])
      yield* turnOfTheLoop
      assert.deepStrictEqual(begun.slice(8), [...named("claimed", 4, 6), ...named("fresh", 4, 10)])
      yield* turnOfTheLoop
      assert.deepStrictEqual(begun.slice(16), ["claimed 6", "claimed 7", "fresh 10", "claimed 8"])
    }))

  it.live("keeps half of each turn free of what was claimed, for whatever comes in meanwhile", () =>
    Effect.gen(function*() {
      const { begun, turns } = make()
      const webhookId = yield* Ids.make("WebhookId")
      for (let n = 0; n < 10; n++) turns.add("claimed", { webhookId, isFresh: false })
      const counts = [begun.length]
      for (let passed = 0; passed < 3; passed++) {
        yield* turnOfTheLoop
        counts.push(begun.length)
      }
      assert.deepStrictEqual(counts, [4, 8, 10, 10])
    }))

  it.live("lets webhooks that took their latest delivery go before those that did not, but for a quarter of each turn", () =>
    Effect.gen(function*() {
      const { begun, turns } = make()
      const [well, failing] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
      turns.remember(well, false)
      turns.remember(well, true)
      turns.remember(failing, false)
      for (const name of ["a", "b", "c", "d", "e", "f", "g", "h", "j"]) {
        turns.add(name, { webhookId: well, isFresh: true })
      }
      turns.add("i", { webhookId: failing, isFresh: true })
      yield* turnOfTheLoop
      yield* turnOfTheLoop
      assert.deepStrictEqual(begun, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"])
    }))

  it.live("lets attempts at failing webhooks begin evenly, all of them within a quarter of a second", () =>
    Effect.gen(function*() {
      yield* fakeTimers
      const { begun, turns } = make()
      const [well, failing] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
      turns.remember(failing, false)
      for (let n = 0; n < 1_000; n++) turns.add("failing", { webhookId: failing, isFresh: false })
      const after = (ms: number) =>
        Effect.promise(async () => {
          await vi.advanceTimersByTimeAsync(ms)
          return begun.filter((name) => name === "failing").length
        })
      assert.isBelow(yield* after(1), 10)
      assert.isAbove(turns.size, 990)
      assert.strictEqual(turns.inLine, 0, "they wait for nobody")
      // Nobody else is kept for them.
      turns.add("well", { webhookId: well, isFresh: false })
      assert.strictEqual(begun.at(-1), "well")
      assert.closeTo(yield* after(50), 200, 30)
      assert.closeTo(yield* after(100), 600, 30)
      assert.strictEqual(yield* after(120), 1_000)
    }).pipe(Effect.scoped))

  it.live("makes nobody wait who comes when all have begun", () =>
    Effect.gen(function*() {
      const { begun, turns } = make()
      const webhookId = yield* Ids.make("WebhookId")
      for (let i = 0; i < 3; i++) {
        for (let n = 0; n < 8; n++) turns.add("before", { webhookId, isFresh: true })
        yield* turnOfTheLoop
      }
      turns.add("last", { webhookId, isFresh: false })
      assert.strictEqual(begun.at(-1), "last")
    }))

  it.live("gives up all that wait, wherever they do", () =>
    Effect.gen(function*() {
      const { begun, turns } = make()
      const [well, failing] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
      turns.remember(failing, false)
      for (const isFresh of [false, true]) {
        const webhooks = [failing, ...Array.from({ length: 7 }, () => well)]
        for (const webhookId of webhooks) turns.add("one", { webhookId, isFresh })
      }
      assert.lengthOf(begun, 8)
      assert.deepStrictEqual([turns.size, turns.inLine, turns.freshInLine], [8, 4, 3])
      assert.lengthOf(turns.giveUp(), 8)
      yield* turnOfTheLoop
      assert.lengthOf(begun, 8)
      assert.strictEqual(turns.size, 0)
    }))
})
