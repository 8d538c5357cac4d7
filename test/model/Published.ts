/** What a publish is to store, to lease to its node, and to answer. */
import { assert } from "@effect/vitest"
import type { DeliveryId, WebhookId } from "../../src/domain/Ids.ts"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import type { LeaseOffer } from "../../src/persistence/PublishRequest.ts"
import type { Alone } from "../support/PublishAlone.ts"
import * as Model from "./Model.ts"

interface Publish {
  readonly type: string
  readonly events: number
  readonly lease: LeaseOffer | null
}

const wants = ({ events, isDeleted, reason }: Model.Webhook, type: string): boolean =>
  !isDeleted && reason !== "owner" && (events.includes(type) || events.includes(`${type.split(".")[0]}.*`) ||
    events.includes("*"))

/** Which webhook gets how many of its deliveries leased: all alike, as far as the offer goes. */
const checkLeases = (model: Model.Model, { events, lease, type }: Publish, leased: ReadonlyArray<ClaimedDelivery>) => {
  const free = lease === null ?
    [] :
    model.webhooks.filter((webhook) => wants(webhook, type) && Model.isFree(model, webhook))
  const roomOf = (id: WebhookId): number =>
    Math.min(
      events,
      lease?.mostPerWebhook ?? 0,
      lease?.limited.find(({ webhookId }) => webhookId === id)?.most ?? Number.POSITIVE_INFINITY
    )
  const rooms = free.map(({ id }) => roomOf(id))
  assert.strictEqual(leased.length, Math.min(rooms.reduce((sum, room) => sum + room, 0), lease?.most ?? 0))
  const counts = free.map(({ id }) => leased.filter(({ webhookId }) => webhookId === id).length)
  assert.strictEqual(counts.reduce((sum, count) => sum + count, 0), leased.length, "of none that is not free")
  // Whoever has fewer than another has all that it has room for, or one fewer.
  const most = Math.max(0, ...counts)
  for (const [i, count] of counts.entries()) {
    assert.isAtMost(count, rooms[i] ?? 0)
    if (count < (rooms[i] ?? 0)) assert.isAtMost(most - count, 1)
  }
  for (const delivery of leased) {
    const { attemptCount, chargedCount, leaseToken, probe } = delivery
    assert.deepStrictEqual([leaseToken, probe, attemptCount, chargedCount], [lease?.token, false, 0, 0])
  }
}

/** What is not leased, for those who are to be told. */
const checkTold = (model: Model.Model, { circuitOpen, leased, published, waiting }: Alone) => {
  const taken = new Set(leased.map(({ id }) => id))
  const rest = published.flatMap(({ deliveries }) => deliveries).filter(({ id }) => !taken.has(id))
  const held = (by: string | null) =>
    rest.map(({ webhookId }) => webhookId).filter((id) => {
      const webhook = model.webhooks.find((webhook) => webhook.id === id)
      return webhook !== undefined && Model.hold(model, webhook) === by
    })
  const sorted = (ids: ReadonlyArray<WebhookId>) => ids.toSorted()
  assert.deepStrictEqual(sorted(waiting), sorted(held(null)))
  assert.deepStrictEqual(sorted(circuitOpen), sorted(held("circuit")))
}

const add = (model: Model.Model, id: DeliveryId, webhook: Model.Webhook): Model.Delivery => {
  const delivery: Model.Delivery = {
    id,
    webhook,
    status: "pending",
    results: [],
    charged: 0,
    unknown: 0,
    due: { at: model.now, turn: model.turn },
    lease: null
  }
  model.deliveries.set(id, delivery)
  return delivery
}

export const published = (model: Model.Model, step: Publish, node: number, stored: Alone | null): void => {
  assert(stored, "it is stored")
  const wanting = model.webhooks.filter((webhook) => wants(webhook, step.type))
  checkLeases(model, step, stored.leased)
  checkTold(model, stored)
  assert.lengthOf(stored.published, step.events)
  for (const { deliveries } of stored.published) {
    assert.sameMembers(deliveries.map(({ webhookId }) => webhookId), wanting.map(({ id }) => id))
    for (const webhook of wanting) {
      const made = deliveries.find(({ webhookId }) => webhookId === webhook.id)
      assert(made)
      const delivery = add(model, made.id, webhook)
      const handed = stored.leased.find(({ id }) => id === made.id)
      if (handed === undefined) continue
      Model.lease(model, delivery, handed.leaseToken)
      model.handed.push({ node, delivery: handed })
    }
  }
}
