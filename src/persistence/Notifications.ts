/**
 * Tells the other nodes of one database which webhooks may have work, through NOTIFY. A hint and no more: whoever misses
 * one finds the work with its next poll.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import type { WebhookId } from "../domain/Ids.ts"
import { WebhookUuid } from "./Columns.ts"
import * as OwnConnection from "./OwnConnection.ts"
import { PersistenceError } from "./Postgres.ts"

const channel = "deeper_hub_webhooks_work"

/** Postgres carries fewer than 8,000 bytes: the rest of the message, and 39 for each webhook. */
export const webhooksMax = 200

/** None named: of any webhook. */
const Message = Schema.parseJson(Schema.Struct({ node: Schema.UUID, webhooks: Schema.Array(WebhookUuid) }))
const encode = Schema.encodeSync(Message)
const decode = Schema.decodeUnknownOption(Message)

/** What is heard and not yet taken; beyond it the oldest are forgotten. */
const heardMax = 1_000

const bounds = { name: "listener", lockTimeoutMs: 5_000, statementTimeoutMs: 5_000 }

export class Notifications extends Context.Tag("deeper-hub-webhooks/persistence/Notifications")<Notifications, {
  /**
   * The webhooks that other nodes have work for; none named means any. It begins with that: what was said before, nobody
   * heard. Fails when the connection is lost.
   */
  readonly listen: Stream.Stream<ReadonlyArray<WebhookId>, PersistenceError>
  /** In a transaction of its own: a committing NOTIFY makes every other one wait. */
  readonly send: (webhooks: ReadonlyArray<WebhookId>) => Effect.Effect<void, PersistenceError>
}>() {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function*() {
      const pg = yield* PgClient.PgClient
      const sql = yield* SqlClient.SqlClient
      const node = randomUUID()
      return Notifications.of({
        listen: listen(pg, node),
        send: (webhooks) =>
          sql`
            SELECT pg_notify(${channel}, ${encode({ node, webhooks: webhooks.length > webhooksMax ? [] : webhooks })})
          `.pipe(Effect.asVoid, PersistenceError.refail("Notifications.send"))
      })
    })
  )
}

const listen = (pg: PgClient.PgClient, node: string) =>
  Stream.unwrapScoped(
    Effect.gen(function*() {
      const connection = yield* OwnConnection.acquire(pg, bounds)
      const heard = yield* Effect.acquireRelease(Queue.sliding<string>(heardMax), Queue.shutdown)
      yield* connection.onNotification(({ payload = "" }) => Queue.unsafeOffer(heard, payload))
      yield* connection.execute(`LISTEN ${channel}`)
      const lost = OwnConnection.lost(connection).pipe(PersistenceError.refail("Notifications.listen"))
      const others = Stream.filterMap(Stream.fromQueue(heard), (payload) =>
        Option.map(
          // What this node said itself, it knows; what is no message, somebody else said.
          Option.filter(decode(payload), (message) => message.node !== node),
          ({ webhooks }) => webhooks
        ))
      return Stream.concat(Stream.make<[ReadonlyArray<WebhookId>]>([]), others).pipe(Stream.interruptWhen(lost))
    }).pipe(PersistenceError.refail("Notifications.listen"))
  )
