/** Endpoints as they come to fail and to recover: what is sent to them, what came of it, and what their circuits are then. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert } from "@effect/vitest"
import { Clock, DateTime, Effect, Layer, Random } from "effect"
import { randomUUID } from "node:crypto"
import { RetryableFailure } from "../../src/domain/DeliveryError.ts"
import { EventTypeName } from "../../src/domain/EventType.ts"
import * as Ids from "../../src/domain/Ids.ts"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import { DeliveryHistory } from "../../src/persistence/DeliveryHistory.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import type { Outcome } from "../../src/persistence/Outcomes.ts"
import { makeCircuits } from "../../src/runtime/Circuits.ts"
import * as Verdict from "../../src/runtime/Verdict.ts"
import { Signals } from "../../src/telemetry/Signals.ts"
import { publishAlone } from "./PublishAlone.ts"
import * as Rows from "./Rows.ts"
import * as Stores from "./Stores.ts"

const { everyone } = Stores

/** The stores, and what deciding on circuits takes. */
export const layer = Layer.merge(Stores.layer, Signals.layer)

export const begin = (name: string, definition?: Parameters<typeof Rows.makeWebhook>[2]) =>
  Effect.gen(function*() {
    const client = yield* Rows.makeClient(name.replaceAll(" ", "-"))
    const { id } = yield* Rows.makeWebhook(client, ["*"], definition)
    return { client, id }
  })

/** So many events at once; this node offers to send their deliveries. */
export const publish = (client: Ids.ClientId, count: number) =>
  Effect.gen(function*() {
    const occurredAt = yield* DateTime.now
    const one = Effect.map(
      Ids.make("EventId"),
      (id) => ({ id, eventType: EventTypeName.make("deal.won"), occurredAt, body: `{"data": {}}` })
    )
    const [first, rest] = [yield* one, yield* Effect.replicateEffect(one, count - 1)]
    return yield* publishAlone({
      clientId: client,
      events: [first, ...rest],
      idempotency: null,
      target: null,
      notice: null,
      lease: { token: randomUUID(), seconds: 30, most: 1_000, mostPerWebhook: 1_000, limited: [] }
    })
  })

export const claim = (webhookId: Ids.WebhookId, most = 100) =>
  Effect.flatMap(
    DeliveryStore,
    (store) => store.claim({ webhooks: [{ webhookId, most }], leaseToken: randomUUID(), leaseSeconds: 30 })
  )

/** What came of attempts is written and decided on, as the OutcomeRecorder does it. */
export const record = (outcomes: ReadonlyArray<Outcome>) =>
  Effect.gen(function*() {
    const decide = yield* makeCircuits
    const { endpoints } = yield* Effect.flatMap(DeliveryStore, (store) => store.record(outcomes))
    yield* decide(endpoints).pipe(Effect.withRandom(Random.fixed([0.5])))
  })

export const succeeded = (delivery: ClaimedDelivery): Effect.Effect<Outcome> =>
  Effect.map(Clock.currentTimeMillis, (now) => Verdict.delivered(delivery, Rows.exchange(200), now))

export const succeed = (deliveries: ReadonlyArray<ClaimedDelivery>) =>
  Effect.flatMap(Effect.forEach(deliveries, succeeded), record)

export const refused = (of: RetryableFailure["class"], retryAfterMs: number | null = null) =>
  new RetryableFailure({ class: of, message: "no", retryAfterMs, exchange: Rows.exchange(null) })

const policy = { baseDelayMs: 10_000, maxDelayMs: 3_600_000, backoffFactor: 6 }

/** None is spread: what failed together is due together, the older one first. */
const failedWith = (failure: RetryableFailure) => (delivery: ClaimedDelivery) =>
  Effect.withRandom(Verdict.failed(delivery, failure, policy), Random.fixed([0.5]))

export const failed = failedWith(refused("connect_refused"))

export const fail = (deliveries: ReadonlyArray<ClaimedDelivery>, failure = refused("connect_refused")) =>
  Effect.flatMap(Effect.forEach(deliveries, failedWith(failure)), record)

/** How long it pauses still to the next ten seconds, since the test takes some time itself. */
export const circuitOf = (id: Ids.WebhookId) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql`
        SELECT circuit, (ceil(extract(epoch FROM circuit_until - now()) / 10) * 10)::int AS seconds, circuit_openings AS openings,
          circuit_ramp AS ramp, failure_count AS failures
        FROM webhooks WHERE id = ${Ids.toUuid(id)}
      `,
      ([row]) => row
    ))

export const deliveriesOf = (id: Ids.WebhookId) =>
  Effect.map(
    Effect.flatMap(DeliveryHistory, (history) =>
      history.list(everyone, id, { status: null, eventType: null, from: null, to: null }, { limit: 500, after: null })),
    ({ data }) =>
      data
  )

/** Five failures in a row, and its first deliveries wait for their second attempts. */
export const open = (client: Ids.ClientId, id: Ids.WebhookId) =>
  Effect.gen(function*() {
    const { leased } = yield* publish(client, 5)
    yield* fail(leased)
    assert.deepInclude(yield* circuitOf(id), { circuit: "open", openings: 1, ramp: null, failures: 5 })
  })
