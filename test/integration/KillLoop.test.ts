/**
 * G56–G59: events are published while the process is killed and started again in a loop. Three books are compared at
 * the end: what the publishers were promised, what the receiver got, what the database says.
 */
import { assert, describe, it } from "@effect/vitest"
import { Config, Effect, Fiber, Random, Ref, Schedule } from "effect"
import { Webhook as StandardWebhook } from "standardwebhooks"
import type { ApiClient } from "../support/ApiClient.ts"
import * as EmbeddedService from "../support/EmbeddedService.ts"
import { eventually } from "../support/Eventually.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import * as Service from "../support/Service.ts"

const kills = 5
const publishers = 4
const concurrency = 16
const settings = {
  LOG_LEVEL: "Error",
  WEBHOOKS_DISPATCHER_CONCURRENCY_PER_WEBHOOK: String(concurrency),
  WEBHOOKS_DISPATCHER_LEASE_SECONDS: "6",
  WEBHOOKS_RETRY_POLICY_BASE_DELAY_SECONDS: "0.05",
  WEBHOOKS_RETRY_POLICY_BACKOFF_FACTOR: "1"
}

/** What the publishers were promised: one event a key. */
type Promises = Map<string, { readonly eventId: string; readonly deliveryId: string }>

/** Verifies every request, and leaves every fifth delivery's first one without an answer: attempts for a kill to hit. */
const makeReceiver = Effect.gen(function*() {
  const answered = new Map<string, number>()
  const held = new Set<string>()
  const invalid: Array<string> = []
  const verifier: { check: (text: string, headers: Readonly<Record<string, string>>) => void } = { check: () => {} }
  let seen = 0
  const server = yield* ScriptedReceiver.make(({ headers, text }) => {
    const id = headers["webhook-id"] ?? ""
    try {
      verifier.check(text, headers)
    } catch {
      invalid.push(id)
    }
    seen += 1
    if (seen % 5 === 0 && !held.has(id) && !answered.has(id)) {
      held.add(id)
      return "hang"
    }
    answered.set(id, (answered.get(id) ?? 0) + 1)
    return { status: 200 }
  })
  return { answered, held, invalid, server, verifier }
})

/** Never gives a key up: whatever comes between, it asks again with the same one until it is promised. */
const publishAlways = (name: string, current: Ref.Ref<ApiClient>, promises: Promises, stopped: Ref.Ref<boolean>) =>
  Effect.gen(function*() {
    for (let n = 1; !(yield* Ref.get(stopped)); n++) {
      const idempotencyKey = `${name}-${n}`
      const published = yield* Effect.flatMap(
        Ref.get(current),
        (api) => api.publish("deal.won", { n, name }, { idempotencyKey })
      ).pipe(
        Effect.timeout("5 seconds"),
        // Nothing, or 503: whether it was taken is unknown. Any other answer would be a fault.
        Effect.catchIf(
          (error) => error._tag === "UnexpectedAnswer" && !error.message.startsWith("503"),
          (error) => Effect.die(error)
        ),
        Effect.retry(Schedule.spaced("50 millis"))
      )
      promises.set(idempotencyKey, { eventId: published.event_id, deliveryId: published.deliveries[0]?.id ?? "" })
    }
  })

const seed = Config.integer("SEED").pipe(
  Config.withDefault(null),
  Effect.flatMap((given) => given === null ? Random.nextIntBetween(1, 1_000_000) : Effect.succeed(given))
)

describe("the kill loop", () => {
  it.scopedLive("loses nothing that was promised, and takes no key twice", () =>
    Effect.gen(function*() {
      const dataDirectory = yield* EmbeddedService.directory()
      const receiver = yield* makeReceiver
      const serve = Service.serve({ dataDirectory, env: settings })

      let running = yield* serve
      const { id, secret } = yield* running.api.register({
        url: receiver.server.url(),
        events: ["deal.won"],
        retry_count: 20,
        timeout_ms: 1_500
      })
      const standard = new StandardWebhook(secret)
      receiver.verifier.check = (text, headers) => standard.verify(text, headers)

      const promises: Promises = new Map()
      const current = yield* Ref.make(running.api)
      const stopped = yield* Ref.make(false)
      const publishing = yield* Effect.forkScoped(Effect.forEach(
        Array.from({ length: publishers }, (_, index) => `publisher-${index}`),
        (name) => publishAlways(name, current, promises, stopped),
        { concurrency: "unbounded", discard: true }
      ))

      for (let kill = 1; kill <= kills; kill++) {
        const enough = promises.size + (yield* Random.nextIntBetween(20, 200))
        yield* Effect.raceFirst(
          eventually(Effect.sync(() => promises.size), (size) => size >= enough, "60 seconds"),
          Fiber.join(publishing)
        )
        yield* running.kill("SIGKILL")
        running = yield* serve
        yield* Ref.set(current, running.api)
      }
      yield* Ref.set(stopped, true)
      yield* Fiber.join(publishing)

      const url = Service.embeddedUrl(dataDirectory)
      const open = EmbeddedService.query(url, "SELECT count(*)::int AS n FROM deliveries WHERE status <> 'delivered'")
      yield* eventually(open, ([row]) => row?.["n"] === 0, "120 seconds")

      const rows = yield* EmbeddedService.query(
        url,
        "SELECT (SELECT count(*)::int FROM events) AS events, (SELECT count(*)::int FROM deliveries) AS deliveries, " +
          "(SELECT count(*)::int FROM idempotency_keys) AS keys, " +
          "(SELECT count(*)::int FROM attempts WHERE result = 'outcome_unknown') AS unknown"
      )
      const unanswered = [...promises.values()].filter(({ deliveryId }) => !receiver.answered.has(deliveryId))
      const repeated = [...receiver.answered.values()].reduce((sum, times) => sum + times - 1, 0)
      yield* Effect.logInfo("kill loop", { ...rows[0], promised: promises.size, repeated, held: receiver.held.size })

      assert.deepStrictEqual(unanswered, [], "every promise was kept")
      assert.deepStrictEqual(receiver.invalid, [], "every request was signed")
      const { size } = promises
      assert.strictEqual(new Set([...promises.values()].map(({ eventId }) => eventId)).size, size)
      assert.deepInclude(rows[0], { events: size, deliveries: size, keys: size }, "one event a key, and one delivery")
      assert.strictEqual(receiver.answered.size, size, "nothing was delivered that was not promised")
      assert.isAtMost(repeated, kills * concurrency, "no more repeats than were under way at the kills")
      assert.isTrue((yield* running.api.history(id)).every(({ status }) => status === "delivered"))
      assert.strictEqual((yield* running.kill("SIGTERM")).code, 0)
    }).pipe(withSeed), { timeout: 400_000 })
})

/** SEED=… replays the moments of the kills. */
const withSeed = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    seed,
    (seed) =>
      self.pipe(
        Effect.withRandom(Random.make(seed)),
        Effect.annotateLogs({ seed }),
        Effect.tapErrorCause((cause) => Effect.logError(`failed with SEED=${seed}`, cause))
      )
  )
