/** The table in which those who bring none of their own write down what came of each attempt. */
import type { Pool } from "pg"

const ddl = `
  CREATE TABLE IF NOT EXISTS delivery_attempts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text NOT NULL,
    endpoint int NOT NULL,
    attempt int NOT NULL,
    code int NOT NULL,
    duration_ms int NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
  )`

export const create = (pool: Pool) => pool.query(ddl)
