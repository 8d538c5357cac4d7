/** The one way in for events. Those who publish at the same moment share a statement: the runtime sees to it. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Stored } from "../persistence/Committed.ts"
import type { PersistenceError } from "../persistence/Postgres.ts"
import type { PublishRequest } from "../persistence/PublishRequest.ts"
import type { IdempotencyConflict } from "../persistence/Replay.ts"

export class Commit extends Context.Tag("deeper-hub-webhooks/service/Commit")<Commit, {
  /**
   * Durable when it answers. A repeated idempotency key answers what the first request was answered. Interrupted, it may
   * have been committed or not.
   */
  readonly commit: (request: PublishRequest) => Effect.Effect<Stored, PersistenceError | IdempotencyConflict>
}>() {}
