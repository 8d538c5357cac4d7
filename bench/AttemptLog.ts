/** The table in which those who bring none of their own write down what came of each attempt. */
import type { Pool } from "pg"
import * as Lane from "./Lane.ts"

export interface Attempt {
  readonly eventId: string
  /** The number of the URL within its route. */
  readonly endpoint: number
  /** From 1 on. */
  readonly number: number
  /** The answer's status; 0 for none. */
  readonly code: number
  readonly durationMs: number
}

export type Record = (attempt: Attempt) => Promise<void>

export const create = (pool: Pool) =>
  pool.query(`
    CREATE TABLE IF NOT EXISTS delivery_attempts (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      event_id text NOT NULL,
      endpoint int NOT NULL,
      attempt int NOT NULL,
      code int NOT NULL,
      duration_ms int NOT NULL,
      at timestamptz NOT NULL DEFAULT now()
    )`)

/** A row and a commit for each attempt, as one would write it. */
export const byRow = (pool: Pool): Record => async ({ code, durationMs, endpoint, eventId, number }) => {
  await pool.query({
    name: "attempt",
    text: `INSERT INTO delivery_attempts (event_id, endpoint, attempt, code, duration_ms) VALUES ($1, $2, $3, $4, $5)`,
    values: [eventId, endpoint, number, code, durationMs]
  })
}

export const insertAll = async (pool: Pool, attempts: ReadonlyArray<Attempt>): Promise<void> => {
  await pool.query({
    name: "attempts",
    text: `INSERT INTO delivery_attempts (event_id, endpoint, attempt, code, duration_ms)
      SELECT * FROM unnest($1::text[], $2::int[], $3::int[], $4::int[], $5::int[])`,
    values: [
      attempts.map(({ eventId }) => eventId),
      attempts.map(({ endpoint }) => endpoint),
      attempts.map(({ number }) => number),
      attempts.map(({ code }) => code),
      attempts.map(({ durationMs }) => durationMs)
    ]
  })
}

/** Attempts that end while a commit is under way share the next one: the best that is easily added by hand. */
export const byGroup = (pool: Pool): Record => {
  interface Waiting {
    readonly attempt: Attempt
    readonly stored: () => void
    readonly failed: (error: unknown) => void
  }
  const add = Lane.make<Waiting>(async (batch) => {
    try {
      await insertAll(pool, batch.map(({ attempt }) => attempt))
      for (const { stored } of batch) stored()
    } catch (error) {
      for (const { failed } of batch) failed(error)
    }
  }, 2)
  return (attempt) => new Promise((stored, failed) => add({ attempt, stored, failed }))
}
