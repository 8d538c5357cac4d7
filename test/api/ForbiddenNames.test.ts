import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectStatus } from "../support/ApiTest.ts"
import type { DnsAnswer } from "../support/DnsServer.ts"
import { forbiddenAnswers } from "../support/ForbiddenTargets.ts"
import * as Planted from "../support/Planted.ts"
import * as WatchedService from "../support/WatchedService.ts"

const options = { timeout: "60 seconds", excludeTestServices: true } as const

const publicIPv4 = "1.1.1.1"
const publicIPv6 = "2606:4700:4700::1111"

/** What the name servers of an attacker answer. Each name leads inside, wholly or in part. */
const answers: Readonly<Record<string, ReadonlyArray<DnsAnswer>>> = {
  "only-a": forbiddenAnswers.A.map((ip) => ({ A: [ip] })),
  "only-aaaa": forbiddenAnswers.AAAA.map((ip) => ({ AAAA: [ip] })),
  "mixed": forbiddenAnswers.A.slice(0, 12).flatMap((ip) => [{ A: [publicIPv4, ip] }, { A: [ip, publicIPv4] }]),
  "mixed-families": [
    ...forbiddenAnswers.AAAA.map((ip) => ({ A: [publicIPv4], AAAA: [ip] })),
    ...forbiddenAnswers.A.slice(0, 12).map((ip) => ({ A: [ip], AAAA: [publicIPv6] })),
    { A: [publicIPv4], AAAA: [publicIPv6, "fd00::2"] }
  ],
  "alias": [
    { CNAME: "localhost", A: ["127.0.0.1"], AAAA: ["::1"] },
    { CNAME: "db.internal", A: ["10.0.0.1"] },
    { CNAME: "metadata.google.internal", A: ["169.254.169.254"] },
    { CNAME: "inside.hooks.test", A: [publicIPv4, "127.0.0.2"] }
  ],
  "many": [{ A: [...Array.from({ length: 15 }, (_, i) => `1.1.1.${i + 1}`), "127.0.0.1"] }]
}

const zone = Object.fromEntries(
  Object.entries(answers).flatMap(([kind, all]) => all.map((answer, i) => [`${kind}-${i}.hooks.test`, answer] as const))
)

const blockedAttempt = { result: "failure_retryable", error_class: "blocked_address", peer_address: null }

const fiveMinutesMs = 5 * 60_000

/** That it waits for its next attempt, of an address that was not dialled. */
const assertHeldBack = (delivery: ReturnType<typeof JSON.parse>, attempts: number) => {
  assert.deepInclude(delivery, { status: "failed_retryable", error_class: "blocked_address", attempt_count: attempts })
  for (const attempt of delivery.attempts) assert.deepInclude(attempt, blockedAttempt)
  const pauseMs = Date.parse(delivery.next_retry_at) - Date.parse(delivery.attempts.at(-1).started_at)
  assert.isAtLeast(pauseMs, fiveMinutesMs)
}

layer(WatchedService.layer({ zone }), options)("names that lead inside, as in production", (it) => {
  it.effect(
    "B16, B17, B19 none is dialled in any way, and none is tried again before five minutes",
    () =>
      Effect.gen(function*() {
        const { dns, port } = yield* WatchedService.Watch
        const webhooks = yield* Planted.register(Object.keys(zone).map((name) => `http://${name}:${port}/`))
        assert.isEmpty(dns.asked, "a registration asks no name server")
        const deliveries = yield* Planted.publish(webhooks)
        assert.lengthOf(deliveries, Object.keys(zone).length)
        for (const delivery of yield* Planted.read(webhooks, deliveries)) assertHeldBack(delivery, 1)
        yield* Planted.retry(webhooks, deliveries)
        for (const delivery of yield* Planted.read(webhooks, deliveries)) assertHeldBack(delivery, 2)
        for (const attempt of yield* Planted.ping(webhooks)) assert.deepInclude(attempt, blockedAttempt)
        for (const delivery of yield* Planted.read(webhooks, yield* Planted.test(webhooks))) assertHeldBack(delivery, 1)
        for (const name of Object.keys(zone)) assert.include(dns.asked, `A ${name}`)
        yield* WatchedService.nothingDialled
      }),
    120_000
  )

  it.effect("B16 what the owner is told names neither the address nor the range", () =>
    Effect.gen(function*() {
      const { port } = yield* WatchedService.Watch
      const webhooks = yield* Planted.register([`http://only-a-1.hooks.test:${port}/`])
      for (const { error_message } of yield* Planted.ping(webhooks)) {
        assert.notMatch(error_message, /\d\.\d|network|private|loopback/)
      }
    }))
})

const exception = "127.0.0.77"

/** Public for the first question of a family, then inside: what a name that rebinds does with a TTL of 0. */
const rebinding = (inside: string) => (before: number): DnsAnswer => ({ A: [before === 0 ? exception : inside] })

const turning = {
  "to-loopback.hooks.test": rebinding("127.0.0.1"),
  "to-metadata.hooks.test": rebinding("169.254.169.254"),
  "to-private.hooks.test": rebinding("10.0.0.1")
}

const withOneException = WatchedService.layer({
  allowed: `${exception}/32`,
  zone: {
    ...turning,
    "open.hooks.test": { A: [exception] },
    "mixed.hooks.test": { A: [exception, "127.0.0.1"] },
    "mixed-families.hooks.test": { A: [exception], AAAA: ["::1"] },
    "alias.hooks.test": { CNAME: "db.internal", A: [exception] }
  }
})

layer(withOneException, options)("names that lead inside but for one exception", (it) => {
  it.effect("B17 of a name with an open and a forbidden address neither is dialled", () =>
    Effect.gen(function*() {
      const { dialled, port, reached } = yield* WatchedService.Watch
      const webhooks = yield* Planted.register([
        `http://mixed.hooks.test:${port}/`,
        `http://mixed-families.hooks.test:${port}/`
      ])
      for (const attempt of yield* Planted.ping(webhooks)) assert.deepInclude(attempt, blockedAttempt)
      for (const delivery of yield* Planted.read(webhooks, yield* Planted.publish(webhooks))) {
        assertHeldBack(delivery, 1)
      }
      assert.deepStrictEqual({ dialled: dialled(), reached: reached() }, { dialled: [], reached: [] })
    }))

  it.effect(
    "B18 a name that turns inside after its first answer is reached once, outside",
    () =>
      Effect.gen(function*() {
        const { dialled, port, reached } = yield* WatchedService.Watch
        const webhooks = yield* Planted.register([
          ...Object.keys(turning).map((name) => `http://${name}:${port}/`),
          `http://open.hooks.test:${port}/`,
          `http://alias.hooks.test:${port}/`
        ])
        const deliveries = yield* Planted.publish(webhooks)
        for (const delivery of yield* Planted.read(webhooks, deliveries)) {
          assert.deepInclude(delivery, { status: "delivered", error_class: null })
          assert.strictEqual(delivery.attempts[0].peer_address, exception)
        }
        yield* Planted.retry(webhooks, deliveries)
        const again = yield* Planted.read(webhooks, deliveries)
        assert.deepStrictEqual(
          again.map(({ status }) => status),
          ["failed_retryable", "failed_retryable", "failed_retryable", "delivered", "delivered"]
        )
        for (const { attempts } of again.slice(0, 3)) assert.deepInclude(attempts[1], blockedAttempt)
        assert.deepStrictEqual([...new Set(dialled())], [`${exception} ${port}`])
        assert.deepStrictEqual(reached(), Array.from({ length: 7 }, () => exception))
      }),
    60_000
  )

  it.effect("B16 a name that its owner points elsewhere is reached at the next attempt", () =>
    Effect.gen(function*() {
      const { port } = yield* WatchedService.Watch
      const { a } = yield* ApiTest
      const { id } = yield* Rows.register(a.client, { url: `http://mixed.hooks.test:${port}/`, events: ["moved.away"] })
      const { id: delivery } = yield* Rows.deliver(a.client, "moved.away")
      expectStatus(yield* a.client.patch(`/api/webhooks/${id}`, { url: `http://open.hooks.test:${port}/` }), 200)
      const { json } = expectStatus(yield* a.client.post(`/api/deliveries/${delivery}/retry?wait_ms=30000`), 200)
      assert.deepInclude(json, { status: "delivered", attempt_count: 2 })
    }))
})
