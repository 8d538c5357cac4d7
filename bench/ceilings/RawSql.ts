/** The least that has to be written: an event, its deliveries, and what came of each, in batches and without an ORM. */
import type { BenchEvent } from "../Contender.ts"

/** A delivery in memory, with all that it takes to send it. */
export interface RawDelivery {
  readonly id: number
  readonly eventId: string
  /** The number of the URL within its route. */
  readonly endpoint: number
  readonly url: string
  readonly body: string
}

export interface RawEvent {
  readonly event: BenchEvent
  readonly body: string
  readonly deliveries: ReadonlyArray<RawDelivery>
}

export interface RawOutcome {
  readonly delivery: RawDelivery
  readonly code: number
  readonly durationMs: number
}

export const ddl = `
  CREATE TABLE IF NOT EXISTS events (
    id text PRIMARY KEY, type text NOT NULL, body text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
  CREATE TABLE IF NOT EXISTS deliveries (
    id bigint PRIMARY KEY, event_id text NOT NULL, endpoint int NOT NULL, url text NOT NULL,
    status smallint NOT NULL DEFAULT 0, attempts int NOT NULL DEFAULT 0, code int, next_at timestamptz NOT NULL);
  CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (next_at) WHERE status = 0`

const insert = `
  WITH event AS (INSERT INTO events (id, type, body) SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))
  INSERT INTO deliveries (id, event_id, endpoint, url, next_at)
  SELECT id, event_id, endpoint, url, now() + make_interval(secs => $8)
  FROM unnest($4::bigint[], $5::text[], $6::int[], $7::text[]) AS t (id, event_id, endpoint, url)`

/** With a lease the deliveries are the inserting process's own for so long; without, they are due at once. */
export const publish = (events: ReadonlyArray<RawEvent>, leaseSeconds: number) => {
  const deliveries = events.flatMap((event) => event.deliveries)
  return {
    name: "publish",
    text: insert,
    values: [
      events.map(({ event }) => event.id),
      events.map(({ event }) => event.type),
      events.map(({ body }) => body),
      deliveries.map(({ id }) => id),
      deliveries.map(({ eventId }) => eventId),
      deliveries.map(({ endpoint }) => endpoint),
      deliveries.map(({ url }) => url),
      leaseSeconds
    ]
  }
}

export const claim = (limit: number) => ({
  name: "claim",
  text: `
    WITH due AS (
      SELECT id FROM deliveries WHERE status = 0 AND next_at <= now() ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ), claimed AS (
      UPDATE deliveries d SET next_at = now() + interval '60 s' FROM due WHERE d.id = due.id
      RETURNING d.id, d.event_id, d.endpoint, d.url
    )
    SELECT c.id::float8 AS id, c.event_id AS "eventId", c.endpoint, c.url, e.body
    FROM claimed c JOIN events e ON e.id = c.event_id`,
  values: [limit]
})

export const record = (outcomes: ReadonlyArray<RawOutcome>) => ({
  name: "record",
  text: `
    WITH outcome AS (
      SELECT * FROM unnest($1::bigint[], $2::text[], $3::int[], $4::int[], $5::int[])
        AS t (id, event_id, endpoint, code, duration_ms)
    ), attempt AS (
      INSERT INTO delivery_attempts (event_id, endpoint, attempt, code, duration_ms)
      SELECT event_id, endpoint, 1, code, duration_ms FROM outcome
    )
    UPDATE deliveries d
    SET status = CASE WHEN o.code BETWEEN 200 AND 299 THEN 1 ELSE 0 END, code = o.code, attempts = d.attempts + 1
    FROM outcome o WHERE d.id = o.id`,
  values: [
    outcomes.map(({ delivery }) => delivery.id),
    outcomes.map(({ delivery }) => delivery.eventId),
    outcomes.map(({ delivery }) => delivery.endpoint),
    outcomes.map(({ code }) => code),
    outcomes.map(({ durationMs }) => durationMs)
  ]
})
