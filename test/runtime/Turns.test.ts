import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { vi } from "vitest"
import * as Ids from "../../src/domain/Ids.ts"
import { Turns } from "../../src/runtime/Turns.ts"

const turnOfTheLoop = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

const turn = (turns: Turns, webhook: Ids.WebhookId) => turns.take(webhook) ?? Effect.void

describe("Turns", () => {
  it.live("lets the event loop turn between a few that begin and the next", () =>
    Effect.gen(function*() {
      const turns = new Turns()
      const webhook = yield* Ids.make("WebhookId")
      const begun: Array<number> = []
      const all = yield* Effect.fork(
        Effect.forEach(Array.from({ length: 20 }).keys(), (n) =>
          Effect.map(turn(turns, webhook), () => void begun.push(n)), { concurrency: "unbounded" })
      )
      const counts = [0]
      for (let passed = 0; passed < 20; passed++) {
        yield* turnOfTheLoop
        counts.push(begun.length)
      }
      const steps = counts.slice(1).map((count, i) =>
        count - (counts[i] ?? 0)
      )
      assert.isTrue(steps.every((step) => step <= 4), String(steps))
      assert.lengthOf(begun, 20)
      yield* Fiber.join(all)
    }))

  it.live("lets webhooks that took their latest delivery go before those that did not, but for one in each turn", () =>
    Effect.gen(function*() {
      const turns = new Turns()
      const [well, failing] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
      turns.remember(well, false)
      turns.remember(well, true)
      turns.remember(failing, false)
      const begun: Array<string> = []
      const one = ([name, webhook]: readonly [string, Ids.WebhookId]) =>
        Effect.map(turn(turns, webhook), () => void begun.push(name))
      const begin = [["a", well], ["b", well], ["c", well], ["d", well]] as const
      const wait = [["e", failing], ["f", well], ["g", well], ["h", well], ["i", well], ["j", well]] as const
      yield* Effect.forEach([...begin, ...wait], one, { concurrency: "unbounded" })
      assert.deepStrictEqual(begin.map(([name]) => name), begun.slice(0, 4))
      assert.deepStrictEqual(["e", "f", "g", "h", "i", "j"], begun.slice(4))
    }))

  it.live("lets attempts at failing webhooks begin evenly, all of them within a quarter of a second", () =>
    Effect.gen(function*() {
      yield* Effect.acquireRelease(
        Effect.sync(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate"] })),
        () => Effect.sync(() => vi.useRealTimers())
      )
      const turns = new Turns()
      const [well, failing] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
      turns.remember(failing, false)
      let begun = 0
      yield* Effect.fork(
        Effect.replicateEffect(Effect.map(turn(turns, failing), () => void (begun += 1)), 1_000, {
          concurrency: "unbounded",
          discard: true
        })
      )
      const after = (ms: number) =>
        Effect.promise(async () => {
          await vi.advanceTimersByTimeAsync(ms)
          return begun
        })
      assert.isBelow(yield* after(1), 10)
      // Nobody else is kept for them.
      assert.isTrue(Exit.isSuccess(Effect.runSyncExit(turn(turns, well))))
      assert.closeTo(yield* after(50), 200, 30)
      assert.closeTo(yield* after(100), 600, 30)
      assert.strictEqual(yield* after(120), 1_000)
    }).pipe(Effect.scoped))

  it.live("makes nobody wait who comes when all have begun", () =>
    Effect.gen(function*() {
      const turns = new Turns()
      const webhook = yield* Ids.make("WebhookId")
      for (let i = 0; i < 3; i++) {
        yield* Effect.replicateEffect(turn(turns, webhook), 4)
        yield* turnOfTheLoop
      }
      assert.isTrue(Exit.isSuccess(Effect.runSyncExit(turn(turns, webhook))))
    }))
})
