/** Days gone by: partitions as a service that ran then would have left them, and rows in them. */
import * as SqlClient from "@effect/sql/SqlClient"
import { DateTime, Effect } from "effect"
import { randomUUID } from "node:crypto"
import * as Ids from "../../src/domain/Ids.ts"
import type { PartitionTable } from "../../src/domain/RetentionPolicy.ts"

const noonOf = (age: number) =>
  Effect.map(DateTime.now, (now) => DateTime.add(DateTime.startOf(now, "day"), { days: -age, hours: 12 }))

const idOf = (age: number) =>
  Effect.map(noonOf(age), ({ epochMillis }) => Ids.toUuid(Ids.makeAt("EventId", epochMillis)))

/** `2025-02-20`, so many days ago. */
export const dayOf = (age: number) => Effect.map(noonOf(age), DateTime.formatIsoDateUtc)

export const partitionOf = (table: PartitionTable, age: number) =>
  Effect.map(dayOf(age), (day) => `${table}_${day.replaceAll("-", "")}`)

/** The partitions of these days, the older one first. */
export const make = (from: number, to: number) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`SELECT ensure_partitions(${yield* dayOf(from)}::date, ${yield* dayOf(to)}::date)`
  })

/** How many days ago each attached partition of the table is, the oldest first. */
export const agesOf = (table: PartitionTable) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ readonly age: number }>`
      SELECT (now() AT TIME ZONE 'UTC')::date - to_date(right(relname, 8), 'YYYYMMDD') AS age
      FROM pg_inherits JOIN pg_class ON oid = inhrelid
      WHERE inhparent = ${table}::regclass AND NOT inhdetachpending ORDER BY age DESC`
    return rows.map(({ age }) => age)
  })

export const storeEvent = (age: number) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const id = yield* idOf(age)
    yield* sql`
      INSERT INTO events (id, client_id, event_type, body, occurred_at) VALUES (${id}, 'past', 'deal.won', '{}', now())`
    return id
  })

/** `leased` stands for an attempt under way. */
type State = "delivered" | "failed_permanent" | "failed_retryable" | "leased" | "pending"

export const storeDelivery = (age: number, eventId: string, state: State) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const id = yield* idOf(age)
    const isOver = state === "delivered" || state === "failed_permanent"
    const isLeased = state === "leased"
    yield* sql`
      INSERT INTO deliveries (
        id, webhook_id, client_id, event_id, event_type, status, next_retry_at, lease_token, leased_until, delivered_at)
      VALUES (
        ${id}, ${randomUUID()}, 'past', ${eventId}, 'deal.won', ${isLeased ? "pending" : state},
        ${isOver ? null : sql`now()`}, ${isLeased ? randomUUID() : null}, ${isLeased ? sql`now()` : null},
        ${state === "delivered" ? sql`now()` : null})`
    return id
  })

export const storeAttempt = (age: number, deliveryId: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`
      INSERT INTO attempts (id, delivery_id, number, result, started_at)
      VALUES (${yield* idOf(age)}, ${deliveryId}, 1, 'success', now())`
  })
