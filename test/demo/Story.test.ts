import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Either } from "effect"
import * as CrmClient from "../../src/demo/CrmClient.ts"
import * as Mishaps from "../../src/demo/Mishaps.ts"
import * as Story from "../../src/demo/Story.ts"
import * as Json from "../../src/domain/Json.ts"
import * as CanonicalJson from "../../src/signing/CanonicalJson.ts"

const tell = (seed: number) =>
  Effect.gen(function*() {
    const story = yield* Story.make(seed)
    const troubles = yield* Mishaps.plan(seed, story)
    return [story.map(({ name, payload }) => name + CrmClient.write(payload)), Array.from(troubles)]
  })

describe("the story of the demo", () => {
  it.effect("is the same for the same seed, troubles included, and another for another", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* tell(7), yield* tell(7))
      assert.notDeepEqual(yield* tell(7), yield* tell(8))
    }))

  it.effect("happens within office hours, no two events at once", () =>
    Effect.gen(function*() {
      const story = yield* Story.make(7)
      const times = story.map(({ occurredAt }) => DateTime.toEpochMillis(occurredAt))
      assert.strictEqual(new Set(times).size, story.length)
      assert.deepStrictEqual(times, times.toSorted((a, b) => a - b))
      assert.match(Story.localTime(story[0]?.occurredAt ?? DateTime.unsafeMake(0)), /^2025-02-20T09:.*-03:00$/)
    }))

  it.effect("is published in words that keep the value of every number", () =>
    Effect.gen(function*() {
      const story = yield* Story.make(7)
      for (const { payload } of story) {
        const written = CrmClient.write(payload)
        const read = Either.getOrThrow(Json.parse(written))
        assert.strictEqual(CanonicalJson.stringify(read), CanonicalJson.stringify(payload))
      }
      assert.include(story.map(({ payload }) => CrmClient.write(payload)).join("\n"), "00.00,")
    }))
})
