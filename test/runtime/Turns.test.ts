import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import * as Turns from "../../src/runtime/Turns.ts"

const turnOfTheLoop = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

describe("Turns", () => {
  it.live("lets the event loop turn between a few that begin and the next", () =>
    Effect.gen(function*() {
      const takeTurn = Turns.make()
      let begun = 0
      const all = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 20 }, () => Effect.map(takeTurn(false), () => void (begun += 1))),
          { concurrency: "unbounded" }
        )
      )
      let before = 0
      for (let turns = 0; begun < 20; turns++) {
        yield* turnOfTheLoop
        assert.isAtMost(begun - before, 4)
        assert.isBelow(turns, 20)
        before = begun
      }
      yield* Fiber.join(all)
    }))

  it.live("lets those go first that are to, and all of them in their order", () =>
    Effect.gen(function*() {
      const takeTurn = Turns.make()
      const begun: Array<string> = []
      const one = (name: string) => Effect.map(takeTurn(name.startsWith("first")), () => void begun.push(name))
      const names = ["a", "b", "c", "d", "e", "f", "first g", "first h"]
      yield* Effect.forEach(names, one, { concurrency: "unbounded" })
      assert.deepStrictEqual(begun, ["a", "b", "c", "d", "first g", "first h", "e", "f"])
    }))

  it.live("makes nobody wait who comes when all have begun", () =>
    Effect.gen(function*() {
      const takeTurn = Turns.make()
      for (let i = 0; i < 3; i++) {
        yield* Effect.all(Array.from({ length: 4 }, () => takeTurn(false)))
        yield* turnOfTheLoop
      }
      assert.isTrue(Exit.isSuccess(Effect.runSyncExit(takeTurn(false))))
    }))
})
