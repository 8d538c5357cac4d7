/** What every sequence begins with: a client of its own with three webhooks, and nothing sent yet. */
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import * as Model from "./Model.ts"

const webhooks = [
  { events: ["*"], retryCount: 3 },
  { events: ["deal.*"], retryCount: 2 },
  { events: ["lead.new"], retryCount: 6 }
]

export const newModel = (name: string) =>
  Effect.map(
    Effect.forEach(webhooks, (webhook) => Effect.map(Ids.make("WebhookId"), (id) => ({ ...webhook, id }))),
    (made): Model.Model => ({
      clientId: Ids.ClientId.make(name),
      webhooks: made.map((webhook) => Model.newWebhook({ ...webhook, url: "https://example.com/" })),
      deliveries: new Map(),
      handed: [],
      now: 0,
      turn: 0
    })
  )

/** Clients and their webhooks, all at once: through the stores this would take as long as all that follows. */
export const store = (models: ReadonlyArray<Model.Model>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const all = models.flatMap(({ clientId, webhooks }) => webhooks.map((webhook) => ({ ...webhook, clientId })))
    yield* sql`INSERT INTO clients (id) SELECT unnest(${models.map(({ clientId }) => clientId)}::text[])`
    yield* sql`
      INSERT INTO webhooks (id, client_id, url, events, secret_sealed, signatures, retry_count, timeout_ms)
      SELECT id, client_id, url, string_to_array(events, ','), '\\x01', ARRAY['deeper_hub'], retry_count,
        ${Model.timeoutSeconds * 1_000}::int
      FROM unnest(
        ${all.map(({ id }) => Ids.toUuid(id))}::uuid[], ${all.map(({ clientId }) => clientId)}::text[],
        ${all.map(({ url }) => url)}::text[], ${all.map(({ events }) => events.join())}::text[],
        ${all.map(({ retryCount }) => retryCount)}::int[]) AS w (id, client_id, url, events, retry_count)
    `
    yield* sql`
      INSERT INTO subscriptions (client_id, pattern, webhook_id)
      SELECT client_id, unnest(events), id FROM webhooks WHERE client_id = ANY(${
      models.map(({ clientId }) => clientId)
    })
    `
  })
