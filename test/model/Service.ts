/**
 * The service's own stores, as the nodes use them: steps of many sequences at once, merged into as few statements as the
 * actors would make of them.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { Clock, DateTime, Effect, Option, Random } from "effect"
import { randomUUID } from "node:crypto"
import { PermanentFailure, RetryableFailure } from "../../src/domain/DeliveryError.ts"
import { EventTypeName } from "../../src/domain/EventType.ts"
import * as Ids from "../../src/domain/Ids.ts"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import { DeliveryHistory } from "../../src/persistence/DeliveryHistory.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import type { Lease } from "../../src/persistence/Leases.ts"
import type { LeaseOffer } from "../../src/persistence/PublishRequest.ts"
import { type Definition, WebhookStore } from "../../src/persistence/WebhookStore.ts"
import { makeCircuits } from "../../src/runtime/Circuits.ts"
import * as Verdict from "../../src/runtime/Verdict.ts"
import { passTimes } from "../support/PassTime.ts"
import { type Alone, publishAlone } from "../support/PublishAlone.ts"
import * as Rows from "../support/Rows.ts"
import * as Beginning from "./Beginning.ts"
import * as Model from "./Model.ts"
import * as Snapshot from "./Snapshot.ts"

interface Attempted {
  readonly delivery: ClaimedDelivery
  readonly result: Model.Result
}

export type Step =
  | { readonly _tag: "begin"; readonly model: Model.Model }
  | { readonly _tag: "publish"; readonly type: string; readonly events: number; readonly lease: LeaseOffer | null }
  | {
    readonly _tag: "claim"
    readonly most: ReadonlyArray<{ readonly webhookId: Ids.WebhookId; readonly most: number }>
  }
  | { readonly _tag: "record"; readonly attempts: ReadonlyArray<Attempted> }
  | { readonly _tag: "release"; readonly leases: ReadonlyArray<Lease> }
  | { readonly _tag: "prolong"; readonly leases: ReadonlyArray<Lease> }
  | { readonly _tag: "pass"; readonly seconds: number }
  | { readonly _tag: "reclaim" }
  | { readonly _tag: "change"; readonly id: Ids.WebhookId; readonly change: Partial<Definition> }
  | { readonly _tag: "remove" | "deactivate" | "reactivate"; readonly id: Ids.WebhookId }
  | { readonly _tag: "retry"; readonly id: Ids.DeliveryId }

export interface Asked {
  readonly clientId: Ids.ClientId
  readonly step: Step
}

export interface Answer {
  readonly snapshot: Snapshot.Snapshot
  readonly stored: Alone | null
  /** What was claimed. */
  readonly claimed: ReadonlyArray<ClaimedDelivery>
  /** Whose outcome was written, or whose lease was prolonged. */
  readonly stood: ReadonlySet<Ids.DeliveryId>
  readonly requeued: boolean
}

type Tagged<Tag extends Step["_tag"]> = Asked & { readonly step: Extract<Step, { readonly _tag: Tag }> }

const of = <Tag extends Step["_tag"]>(asked: ReadonlyArray<Asked>, tag: Tag) =>
  asked.filter((one): one is Tagged<Tag> => one.step._tag === tag)

/** As far as nothing is spread: whole ticks. */
const policy = { baseDelayMs: Model.tickSeconds * 1_000, maxDelayMs: 900_000, backoffFactor: 2 }

const publish = ({ clientId, step: { events, lease, type } }: Tagged<"publish">) =>
  Effect.gen(function*() {
    const occurredAt = yield* DateTime.now
    const one = Effect.map(
      Ids.make("EventId"),
      (id) => ({ id, eventType: EventTypeName.make(type), occurredAt, body: "{}" })
    )
    const [first, rest] = [yield* one, yield* Effect.replicateEffect(one, events - 1)]
    return yield* publishAlone({
      clientId,
      events: [first, ...rest],
      idempotency: null,
      target: null,
      notice: null,
      lease
    })
  })

/** Webhooks of one claim, as in the Bulkhead. */
const claimMax = 100

const claim = (asked: ReadonlyArray<Tagged<"claim">>) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const webhooks = asked.flatMap(({ step }) => step.most)
    const claimed: Array<ClaimedDelivery> = []
    for (let i = 0; i < webhooks.length; i += claimMax) {
      claimed.push(
        ...(yield* store.claim({
          webhooks: webhooks.slice(i, i + claimMax),
          leaseToken: randomUUID(),
          leaseSeconds: Model.leaseSeconds
        }))
      )
    }
    return claimed
  })

const outcome = ({ delivery, result }: Attempted) => {
  const exchange = Rows.exchange(result === "success" ? 200 : null)
  const retryable = (of: RetryableFailure["class"]) =>
    new RetryableFailure({ class: of, message: "no", retryAfterMs: null, exchange })
  const permanent = (of: PermanentFailure["class"]) => new PermanentFailure({ class: of, message: "no", exchange })
  if (result === "success") {
    return Effect.map(Clock.currentTimeMillis, (now) => Verdict.delivered(delivery, exchange, now))
  }
  const failures = {
    retryable: retryable("http_5xx"),
    uncharged: retryable("local_resource"),
    permanent: permanent("http_4xx"),
    gone: permanent("http_410")
  }
  return Verdict.failed(delivery, failures[result], policy)
}

const record = (attempts: ReadonlyArray<Attempted>) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const decide = yield* makeCircuits
    const { deliveries, endpoints } = yield* store.record(yield* Effect.forEach(attempts, outcome))
    yield* decide(endpoints)
    return deliveries
  }).pipe(Effect.withRandom(Random.fixed([0.5])))

/** A sweep is everybody's. Those who did not ask for it keep their leases meanwhile, however long ago they ran out. */
const reclaim = (clients: ReadonlyArray<Ids.ClientId>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const store = yield* DeliveryStore
    const [begun] = yield* sql<{ readonly at: Date }>`
      WITH kept AS (
        UPDATE deliveries SET leased_until = leased_until + interval '1000 days'
        WHERE leased_until <= now() AND client_id <> ALL(${clients})
      )
      SELECT now() AS at
    `
    yield* store.reclaimExpired
    yield* sql`
      UPDATE deliveries SET leased_until = leased_until - interval '1000 days'
      WHERE leased_until > now() + interval '500 days'
    `
    // As if nothing had been spread, where it was spread within its bounds.
    yield* sql`
      UPDATE deliveries SET next_retry_at = now()
      WHERE client_id = ANY(${clients}) AND error_class = 'outcome_unknown' AND lease_token IS NULL
        AND next_retry_at > ${
      begun?.at ?? null
    } AND next_retry_at <= now() + 3 * 10 ^ (unknown_count - 1) * interval '1 second'
    `
  })

const endpoint = ({ clientId, step }: Tagged<"change" | "remove" | "deactivate" | "reactivate">) =>
  Effect.gen(function*() {
    const store = yield* WebhookStore
    const sql = yield* SqlClient.SqlClient
    const reach = { only: clientId }
    switch (step._tag) {
      case "change":
        return yield* Effect.asVoid(store.modify(reach, step.id, (now) => Effect.succeed({ ...now, ...step.change })))
      case "remove":
        return yield* Effect.asVoid(store.remove(reach, step.id))
      case "deactivate":
        return yield* sql`
          UPDATE webhooks SET is_active = false, deactivation_reason = 'failures', deactivated_at = now(), heal_at = now()
          WHERE id = ${Ids.toUuid(step.id)} AND is_active AND deleted_at IS NULL
        `
      case "reactivate":
        return yield* sql`
          UPDATE webhooks SET is_active = true, deactivation_reason = NULL, deactivated_at = NULL, heal_at = NULL,
            failure_count = 0, failing_since = NULL, circuit = 'closed', circuit_until = NULL, circuit_openings = 0,
            circuit_ramp = 1, circuit_ramp_successes = 0, window_attempts = 0, window_failures = 0
          WHERE id = ${Ids.toUuid(step.id)} AND deactivation_reason = 'failures' AND deleted_at IS NULL
        `
    }
  })

const retry = ({ clientId, step: { id } }: Tagged<"retry">) =>
  Effect.flatMap(
    DeliveryHistory,
    (history) =>
      Effect.map(history.requeue({ only: clientId }, id), (met) =>
        Option.match(met, { onNone: () => false, onSome: ({ requeued }) => requeued }))
  )

const concurrency = 4

/** Does all steps and answers each. */
export const serve = (asked: ReadonlyArray<Asked>) =>
  Effect.gen(function*() {
    const store = yield* DeliveryStore
    const beginning = of(asked, "begin").map(({ step: { model } }) => model)
    if (beginning.length > 0) yield* Beginning.store(beginning)
    const passing = of(asked, "pass").map(({ clientId, step: { seconds } }) => ({ clientId, seconds }))
    if (passing.length > 0) yield* passTimes(passing)
    const endpoints = (["change", "remove", "deactivate", "reactivate"] as const).flatMap((tag) => of(asked, tag))
    yield* Effect.forEach(endpoints, endpoint, { concurrency, discard: true })
    const publishes = of(asked, "publish")
    const stored = yield* Effect.forEach(publishes, publish, { concurrency })
    const retries = of(asked, "retry")
    const requeued = yield* Effect.forEach(retries, retry, { concurrency })
    const claimed = yield* claim(of(asked, "claim"))
    const attempts = of(asked, "record").flatMap(({ step }) => step.attempts)
    const recorded = attempts.length === 0 ? [] : yield* record(attempts)
    const prolonging = of(asked, "prolong").flatMap(({ step }) => step.leases)
    const prolonged = prolonging.length === 0 ? [] : yield* store.prolong(prolonging, Model.leaseSeconds)
    const released = of(asked, "release").flatMap(({ step }) => step.leases)
    if (released.length > 0) yield* store.release(released)
    const sweeping = of(asked, "reclaim").map(({ clientId }) => clientId)
    if (sweeping.length > 0) yield* reclaim(sweeping)

    const snapshotOf = yield* Snapshot.take(asked.map(({ clientId }) => clientId))
    const stood = new Set([...recorded, ...prolonged])
    return asked.map((one): Answer => ({
      snapshot: snapshotOf(one.clientId),
      stored: stored[publishes.findIndex((publish) => publish === one)] ?? null,
      claimed: one.step._tag === "claim" ? claimed.filter(({ clientId }) => clientId === one.clientId) : [],
      stood,
      requeued: requeued[retries.findIndex((retry) => retry === one)] ?? false
    }))
  })
