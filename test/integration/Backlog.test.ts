/** However much is due for some webhooks, what is published for another does not wait behind it. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer, vi } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { toUuid, WebhookId } from "../../src/domain/Ids.ts"
import { soon } from "../support/Eventually.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"
import { Service } from "../support/SharedService.ts"

vi.setConfig({ testTimeout: 180_000 })

const due = 6_000
const backlogged = 30
const fresh = 11

/** Deliveries of one event, due since an hour ago, spread over these webhooks. */
const plant = (webhooks: ReadonlyArray<string>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql`
    WITH event AS (
      INSERT INTO events (id, client_id, event_type, body, occurred_at)
      VALUES (uuid_v7(), 'default', 'backlog.old', '{"data": {}}', now()) RETURNING id
    ), webhook AS (
      SELECT id, row_number() OVER () AS nth
      FROM unnest(${webhooks.map((id) => toUuid(WebhookId.make(id)))}::uuid[]) AS id
    )
    INSERT INTO deliveries (id, webhook_id, client_id, event_id, event_type, next_retry_at)
    SELECT uuid_v7(), webhook.id, 'default', event.id, 'backlog.old', now() - interval '1 hour'
    FROM event, generate_series(1, ${due}) AS n JOIN webhook ON webhook.nth = 1 + n % ${webhooks.length}
  `)

layer(Service.layer({ LOG_LEVEL: "Error" }), { timeout: "2 minutes", excludeTestServices: true })(
  "a backlog of some webhooks",
  (it) => {
    it.scoped("lets what is published for another pass: few of it are sent before", () =>
      Effect.gen(function*() {
        const { api } = yield* Service
        const ofBacklog = yield* ScriptedReceiver.make()
        const ofOther = yield* ScriptedReceiver.make()
        yield* api.register({ url: String(ofOther.url()), events: ["fresh.*"] })
        const webhooks = yield* Effect.replicateEffect(
          api.register({ url: String(ofBacklog.url()), events: ["backlog.*"] }),
          backlogged
        )
        yield* plant(webhooks.map(({ id }) => id))
        yield* soon(Queue.takeN(ofBacklog.requests, 500))
        const passed: Array<number> = []
        for (let n = 0; n < fresh; n++) {
          const before = ofBacklog.received.length
          yield* api.publish("fresh.one", { n })
          yield* soon(Queue.take(ofOther.requests))
          passed.push(ofBacklog.received.length - before)
        }
        assert.isBelow(ofBacklog.received.length, due, "there was a backlog all the time")
        // Six and more times as many stood in line where claims filled every place.
        const median = passed.toSorted((a, b) => a - b)[Math.floor(fresh / 2)] ?? due
        assert.isBelow(median, 200, String(passed))
      }))
  }
)
