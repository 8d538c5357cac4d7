/** Webhooks whose rows have URLs that no registration would accept, and every way to make the service use them. */
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect } from "effect"
import { toUuid, WebhookId } from "../../src/domain/Ids.ts"
import * as Rows from "./ApiRows.ts"
import { ApiTest, expectStatus, type Sender } from "./ApiTest.ts"
import { eventually } from "./Eventually.ts"

/** So many requests at once, as the service's own pool has connections. */
const together = { concurrency: 8 } as const

export const each = <A, B, E, R>(all: ReadonlyArray<A>, ask: (one: A) => Effect.Effect<B, E, R>) =>
  Effect.forEach(all, ask, together)

export interface Planted {
  readonly sender: Sender
  readonly ids: ReadonlyArray<string>
}

/** A new tenant's webhooks, registered with URLs of nobody. */
export const register = (urls: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const { client: sender } = yield* (yield* ApiTest).newTenant
    const webhooks = yield* each(urls, (url) => Rows.register(sender, { url, retry_count: 20 }))
    const planted: Planted = { sender, ids: webhooks.map(({ id }) => id) }
    return planted
  })

/** As `register`, with the URLs written straight to the table, where nobody looks at them. */
export const plant = (urls: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const planted = yield* register(urls.map((_, i) => `https://hooks.test/${i}`))
    const uuids = planted.ids.map((id) => toUuid(WebhookId.make(id)))
    yield* sql`
      UPDATE webhooks SET url = planted.url
      FROM unnest(${uuids}::uuid[], ${urls}::text[]) AS planted (id, url) WHERE webhooks.id = planted.id
    `
    return planted
  })

interface Delivery {
  readonly id: string
  readonly webhook_id: string
}

/** Waits until so many attempts of every delivery of theirs are written; answers the given ones, by webhook. */
const attempted = ({ ids, sender }: Planted, deliveries: ReadonlyArray<Delivery>, times: number) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const { client_id: client } = yield* Rows.read(sender, `/api/webhooks/${ids[0]}`)
    const behind = sql`SELECT FROM deliveries WHERE client_id = ${client} AND attempt_count < ${times} LIMIT 1`
    yield* eventually(behind, (rows) => rows.length === 0)
    const order = new Map(ids.map((id, i) => [id, i]))
    return deliveries.toSorted((a, b) => (order.get(a.webhook_id) ?? 0) - (order.get(b.webhook_id) ?? 0))
  })

export const read = ({ sender }: Planted, deliveries: ReadonlyArray<Delivery>) =>
  each(deliveries, ({ id }) => Rows.read(sender, `/api/deliveries/${id}`))

/** One event for all of them; their deliveries after the first attempt. */
export const publish = (planted: Planted) =>
  Effect.gen(function*() {
    const { deliveries } = yield* Rows.publish(planted.sender, "deal.won")
    return yield* attempted(planted, deliveries, 1)
  })

/** Each delivery once more, by hand; after the second attempt. */
export const retry = (planted: Planted, deliveries: ReadonlyArray<Delivery>) =>
  Effect.gen(function*() {
    yield* each(deliveries, ({ id }) =>
      Effect.map(planted.sender.post(`/api/deliveries/${id}/retry`), (answer) => expectStatus(answer, 202)))
    return yield* attempted(planted, deliveries, 2)
  })

/** A test delivery each, after the first attempt. */
export const test = (planted: Planted) =>
  Effect.gen(function*() {
    const answers = yield* each(planted.ids, (id) => planted.sender.post(`/api/webhooks/${id}/test`, {}))
    return yield* attempted(planted, answers.flatMap((answer) => expectStatus(answer, 202).json.deliveries), 1)
  })

/** What came of a ping each. */
export const ping = ({ ids, sender }: Planted) =>
  each(ids, (id) => Effect.map(sender.post(`/api/webhooks/${id}/ping`), (answer) => expectStatus(answer, 200).json))
