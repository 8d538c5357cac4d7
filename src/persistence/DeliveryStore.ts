/**
 * Deliveries as work: who may send what now, and what came of it.
 *
 * A claim leases due deliveries to one node and commits; no transaction is open while a request is under way. Every
 * write of an outcome names the lease under which the attempt ran, so a node that slept through its lease changes
 * nothing. Times that decide anything are the database's.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { DeliveryId, WebhookId } from "../domain/Ids.ts"
import { claim, type ClaimedDelivery, type ClaimRequest } from "./Claim.ts"
import { DirectQuery } from "./DirectQuery.ts"
import { type DueWebhooks, dueWebhooks } from "./DueWebhooks.ts"
import * as Leases from "./Leases.ts"
import { type Outcome, record, type Recorded } from "./Outcomes.ts"
import { PersistenceError } from "./Postgres.ts"

export class DeliveryStore extends Context.Tag("deeper-hub-webhooks/persistence/DeliveryStore")<DeliveryStore, {
  /** Webhooks that have something due, from after this one on: some of them at a time, at most `visits`. */
  readonly dueWebhooks: (after: WebhookId | null, visits?: number) => Effect.Effect<DueWebhooks, PersistenceError>
  /** Leases due deliveries of these webhooks, oldest first; none of a webhook that is on hold. */
  readonly claim: (request: ClaimRequest) => Effect.Effect<ReadonlyArray<ClaimedDelivery>, PersistenceError>
  /** Writes what came of attempts, in one statement. */
  readonly record: (outcomes: ReadonlyArray<Outcome>) => Effect.Effect<Recorded, PersistenceError>
  /** Gives back leased deliveries that were never sent. */
  readonly release: (leases: ReadonlyArray<Leases.Lease>) => Effect.Effect<void, PersistenceError>
  /** Lets these leases end so many seconds from now; answers those that still stood. */
  readonly prolong: (
    leases: ReadonlyArray<Leases.Lease>,
    seconds: number
  ) => Effect.Effect<ReadonlySet<DeliveryId>, PersistenceError>
  /** Looks at the database's clock. Where it was put back, what waits until a moment moves with it. */
  readonly followClock: Effect.Effect<Leases.DatabaseTime, PersistenceError>
  /** Deliveries whose node died: an attempt with unknown outcome is written, and they are due again or set aside. */
  readonly reclaimExpired: Effect.Effect<Leases.Reclaimed, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const run = yield* DirectQuery
      const walk = dueWebhooks(sql)
      return DeliveryStore.of({
        dueWebhooks: (after, visits) => walk(after, visits).pipe(PersistenceError.refail("DeliveryStore.dueWebhooks")),
        claim: (request) => claim(sql, run, request).pipe(PersistenceError.refail("DeliveryStore.claim")),
        record: (outcomes) => record(sql, run, outcomes).pipe(PersistenceError.refail("DeliveryStore.record")),
        release: (leases) =>
          Leases.release(sql, leases).pipe(Effect.asVoid, PersistenceError.refail("DeliveryStore.release")),
        prolong: (leases, seconds) =>
          Leases.prolong(sql, leases, seconds).pipe(PersistenceError.refail("DeliveryStore.prolong")),
        followClock: Leases.followClock(sql).pipe(PersistenceError.refail("DeliveryStore.followClock")),
        reclaimExpired: Leases.reclaimExpired(sql).pipe(PersistenceError.refail("DeliveryStore.reclaimExpired"))
      })
    })
  )
}
