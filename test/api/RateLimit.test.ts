import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, FastCheck, Layer, TestClock } from "effect"
import { RateLimit, type RateLimitOptions } from "../../src/api/RateLimit.ts"
import { ApiTest, expectProblem, expectStatus, make } from "../support/ApiTest.ts"
import { eventually } from "../support/Eventually.ts"
import * as PgTest from "../support/PgTest.ts"

/** 0 where the key may ask, and otherwise the seconds that it is told to wait. */
const charge = (key: string) =>
  RateLimit.pipe(
    Effect.flatMap((limit) => limit.charge(key, () => Effect.void)),
    Effect.match({ onFailure: ({ retryAfterSeconds }) => retryAfterSeconds, onSuccess: () => 0 })
  )

const limited = (options: RateLimitOptions) => Effect.provide(RateLimit.layer(options))

describe("the rate limit of a key", () => {
  it.effect("lets a burst through, then as much as comes back", () =>
    Effect.gen(function*() {
      for (let i = 0; i < 10; i++) assert.strictEqual(yield* charge("a"), 0, String(i))
      assert.strictEqual(yield* charge("a"), 1)
      yield* TestClock.adjust("499 millis")
      assert.strictEqual(yield* charge("a"), 1)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([yield* charge("a"), yield* charge("a")], [0, 1])
      yield* TestClock.adjust("1 minute")
      for (let i = 0; i < 10; i++) assert.strictEqual(yield* charge("a"), 0)
      assert.strictEqual(yield* charge("a"), 1)
    }).pipe(limited({ perSecond: 2, burst: 10 })))

  it.effect("says when to come back in whole seconds, and means it", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* charge("a"), 0)
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(yield* charge("a"), 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* charge("a"), 0)
    }).pipe(limited({ perSecond: 1, burst: 1 })))

  it.effect("is each key's own", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual([yield* charge("a"), yield* charge("a"), yield* charge("b")], [0, 1, 0])
    }).pipe(limited({ perSecond: 1, burst: 1 })))

  it.effect("is off at 0, and then remembers nobody", () =>
    Effect.gen(function*() {
      for (let i = 0; i < 100; i++) assert.strictEqual(yield* charge("a"), 0)
      assert.strictEqual(yield* Effect.flatMap(RateLimit, ({ buckets }) => buckets), 0)
    }).pipe(limited({ perSecond: 0, burst: 1 })))

  it.effect("forgets a key whose bucket is full again", () =>
    Effect.gen(function*() {
      const { buckets } = yield* RateLimit
      for (let i = 0; i < 1_000; i++) yield* charge(`k${i}`)
      assert.strictEqual(yield* buckets, 1_000)
      yield* TestClock.adjust("100 millis")
      yield* charge("late")
      assert.strictEqual(yield* buckets, 1)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* buckets, 0)
    }).pipe(limited({ perSecond: 10, burst: 20 })))

  it.effect.prop(
    "never lets through more than the burst and what came back since",
    [
      FastCheck.integer({ min: 1, max: 2_000 }),
      FastCheck.integer({ min: 1, max: 50 }),
      FastCheck.array(FastCheck.integer({ min: 0, max: 300 }), { maxLength: 30 })
    ],
    ([perSecond, burst, pauses]) =>
      Effect.gen(function*() {
        let elapsed = 0
        let taken = 0
        for (const pause of pauses) {
          yield* TestClock.adjust(pause)
          elapsed += pause
          if ((yield* charge("a")) === 0) taken += 1
          assert.isAtMost(taken, burst + elapsed * perSecond / 1_000 + 0.01)
        }
      }).pipe(limited({ perSecond, burst }))
  )
})

const burst = 60

const Api = make({
  databaseUrl: PgTest.url,
  settings: { WEBHOOKS_RATE_LIMIT_PER_SECOND: "1", WEBHOOKS_RATE_LIMIT_BURST: String(burst) }
}).pipe(Layer.provideMerge(PgTest.layer))

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Rate limit", (it) => {
  it.effect("J75 a key that asks too often is a 429 with the time to come back; other keys go on", () =>
    Effect.gen(function*() {
      const { a, nobody, withToken } = yield* ApiTest
      const first = expectStatus(yield* a.viewer.get("/api/event-types"), 200)
      assert.deepInclude(first.headers, {
        ratelimit: `"key";r=${burst - 1}`,
        "ratelimit-policy": `"key";q=${burst};w=${burst}`
      })
      const refused = yield* eventually(a.viewer.get("/api/event-types"), ({ status }) => status !== 200)
      const { headers, json } = expectProblem(refused, 429, "rate_limited")
      assert.deepInclude(headers, { "retry-after": "1", ratelimit: "\"key\";r=0;t=1" })
      assert.include(json.detail, `1 times a second and ${burst} times at once`)
      for (const sender of [a.client, nobody, withToken("dhw_unknown")]) {
        const { headers, status } = yield* sender.get("/api/event-types")
        assert.strictEqual(status, sender === a.client ? 200 : 401)
        assert.strictEqual("ratelimit" in headers, sender === a.client)
      }
      yield* eventually(a.viewer.get("/api/event-types"), ({ status }) => status === 200)
    }))
})
