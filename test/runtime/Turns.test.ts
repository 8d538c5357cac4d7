import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import { Turns } from "../../src/runtime/Turns.ts"

const turnOfTheLoop = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

describe("Turns", () => {
  it.live("lets the event loop turn between a few that begin and the next", () =>
    Effect.gen(function*() {
      const turns = new Turns()
      const webhook = yield* Ids.make("WebhookId")
      const begun: Array<number> = []
      const all = yield* Effect.fork(
        Effect.forEach(Array.from({ length: 20 }).keys(), (n) =>
          Effect.map(turns.take(webhook), () => void begun.push(n)), { concurrency: "unbounded" })
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

  it.live("lets webhooks go first that took their latest delivery, but for one in each turn, and all in their order", () =>
    Effect.gen(function*() {
      const turns = new Turns()
      const [well, ill] = [yield* Ids.make("WebhookId"), yield* Ids.make("WebhookId")]
      turns.remember(ill, true)
      turns.remember(ill, false)
      turns.remember(well, true)
      const begun: Array<string> = []
      const one = ([name, webhook]: readonly [string, Ids.WebhookId]) =>
        Effect.map(turns.take(webhook), () => void begun.push(name))
      const begin = [["a", ill], ["b", well], ["c", ill], ["d", ill]] as const
      const wait = [["e", ill], ["f", ill], ["g", well], ["h", well]] as const
      yield* Effect.forEach([...begin, ...wait], one, { concurrency: "unbounded" })
      assert.deepStrictEqual(begun, ["a", "b", "c", "d", "e", "g", "h", "f"])
    }))

  it.live("makes nobody wait who comes when all have begun", () =>
    Effect.gen(function*() {
      const turns = new Turns()
      const webhook = yield* Ids.make("WebhookId")
      for (let i = 0; i < 3; i++) {
        yield* Effect.replicateEffect(turns.take(webhook), 4)
        yield* turnOfTheLoop
      }
      assert.isTrue(Exit.isSuccess(Effect.runSyncExit(turns.take(webhook))))
    }))
})
