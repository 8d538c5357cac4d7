/**
 * What webhooks, deliveries and leases are to do, in plain words and without a database. Time is in seconds since the
 * sequence began. Whether a circuit changes is what `domain/Circuit.ts` says: that has tests of its own.
 */
import * as Circuit from "../../src/domain/Circuit.ts"
import type { AttemptResult, DeliveryStatus } from "../../src/domain/Delivery.ts"
import type { ClientId, DeliveryId, WebhookId } from "../../src/domain/Ids.ts"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"

/**
 * Leases, delays, pauses and what passes are multiples of this, so that what the test itself takes decides nothing. A
 * sequence that takes longer is not judged.
 */
export const tickSeconds = 30
export const leaseSeconds = 30
/** Of every webhook: a probe's time is a lease and an attempt's. */
export const timeoutSeconds = 30
const windowSeconds = 60
const unknownMax = 3

export interface Webhook {
  readonly id: WebhookId
  readonly events: ReadonlyArray<string>
  readonly retryCount: number
  url: string
  isActive: boolean
  reason: "owner" | "gone" | "failures" | null
  isDeleted: boolean
  circuit: Circuit.Circuit
  /** End of an open circuit's pause, or of a half-open one's probe. */
  until: number | null
  /** The lease of the latest probe. */
  probe: string | null
  failuresInARow: number
  isFailing: boolean
  windowSince: number
  windowAttempts: number
  windowFailures: number
  quarantined: number
}

export interface Delivery {
  readonly id: DeliveryId
  readonly webhook: Webhook
  status: DeliveryStatus
  readonly results: Array<AttemptResult>
  charged: number
  /** Nodes in a row that ended with it. */
  unknown: number
  /** When it is sent next, and in which turn that was decided: what comes first in a queue. */
  due: { readonly at: number; readonly turn: number } | null
  lease: { readonly token: string; readonly until: number } | null
}

export interface Model {
  readonly clientId: ClientId
  readonly webhooks: ReadonlyArray<Webhook>
  readonly deliveries: Map<DeliveryId, Delivery>
  /** Whatever a node was handed: those whose lease is another's by now are its stale ones. */
  readonly handed: Array<{ readonly node: number; readonly delivery: ClaimedDelivery }>
  now: number
  turn: number
}

export const newWebhook = (
  { events, id, retryCount, url }: Pick<Webhook, "events" | "id" | "retryCount" | "url">
): Webhook => ({
  id,
  events,
  retryCount,
  url,
  isActive: true,
  reason: null,
  isDeleted: false,
  circuit: Circuit.closed,
  until: null,
  probe: null,
  failuresInARow: 0,
  isFailing: false,
  windowSince: 0,
  windowAttempts: 0,
  windowFailures: 0,
  quarantined: 0
})

export const hold = ({ now }: Model, { isActive, isDeleted, until }: Webhook): "deactivated" | "circuit" | null => {
  if (isDeleted) return null
  if (!isActive) return "deactivated"
  return until !== null && until > now ? "circuit" : null
}

const ofWebhook = ({ deliveries }: Model, webhook: Webhook) =>
  Array.from(deliveries.values()).filter((delivery) => delivery.webhook === webhook)

/** What is due and nobody has, the oldest first. */
export const waiting = (model: Model, webhook: Webhook): ReadonlyArray<Delivery> =>
  ofWebhook(model, webhook)
    .flatMap((delivery) => {
      const { due, lease } = delivery
      return due !== null && due.at <= model.now && lease === null ? [{ delivery, due }] : []
    })
    .sort((a, b) => a.due.at - b.due.at || a.due.turn - b.due.turn || (a.delivery.id < b.delivery.id ? -1 : 1))
    .map(({ delivery }) => delivery)

export const leased = (model: Model, webhook: Webhook): ReadonlyArray<Delivery> =>
  ofWebhook(model, webhook).filter(({ lease }) => lease !== null)

/** What a claim is to be answered with. A pause that is over makes one delivery the probe. */
export const claim = (model: Model, webhook: Webhook, most: number) => {
  const due = waiting(model, webhook)
  const isOver = webhook.until !== null && webhook.until <= model.now
  if (!webhook.isDeleted && webhook.isActive && isOver && due.length > 0) {
    webhook.circuit = { ...webhook.circuit, state: "half_open" }
    webhook.until = model.now + leaseSeconds + timeoutSeconds
    return { deliveries: due.slice(0, 1), probe: true }
  }
  return { deliveries: due.slice(0, room(model, webhook, most)), probe: false }
}

const room = (model: Model, webhook: Webhook, most: number): number => {
  const { circuit: { ramp, state }, isActive, isDeleted } = webhook
  if (isDeleted) return most
  if (!isActive || state !== "closed") return 0
  return ramp === null ? most : Math.max(0, Math.min(most, ramp - leased(model, webhook).length))
}

/** Whether this publish's deliveries of the webhook may be leased at once. */
export const isFree = (model: Model, webhook: Webhook): boolean =>
  hold(model, webhook) === null && webhook.circuit.state === "closed" && webhook.circuit.ramp === null

export const lease = ({ now }: Model, delivery: Delivery, token: string): void => {
  delivery.lease = { token, until: now + leaseSeconds }
}

export const standing = ({ deliveries }: Model, { id, leaseToken }: Pick<ClaimedDelivery, "id" | "leaseToken">) => {
  const delivery = deliveries.get(id)
  return delivery?.lease?.token === leaseToken ? delivery : undefined
}

/** What came of an attempt: `uncharged` is our own trouble. */
export const results = ["success", "retryable", "permanent", "gone", "uncharged"] as const
export type Result = typeof results[number]

/** What came of an attempt under a lease. */
export interface Seen {
  readonly leaseToken: string
  readonly result: Result
}

const delayOf = (attempt: number): number => Math.min(900, tickSeconds * 2 ** (attempt - 1))

/** The delivery's part of an outcome under a lease that stands. */
export const attempted = (model: Model, delivery: Delivery, result: Result, probe: boolean): void => {
  const { due, webhook } = delivery
  // A probe asks for the sake of all, so that it is not charged where it fails.
  const isCharged = result === "success" || (result !== "uncharged" && !probe)
  delivery.lease = null
  delivery.unknown = 0
  delivery.charged += isCharged ? 1 : 0
  delivery.results.push(resultOf(result))
  const spent = isCharged ? delivery.charged : delivery.results.length
  const isLast = isCharged && delivery.charged >= webhook.retryCount
  if (result === "success") delivery.status = "delivered"
  else if (result === "permanent" || result === "gone" || isLast) delivery.status = "failed_permanent"
  else delivery.status = "failed_retryable"
  const keepsPlace = probe && result === "retryable"
  if (delivery.status !== "failed_retryable") delivery.due = null
  else if (!keepsPlace) delivery.due = { at: model.now + delayOf(spent), turn: model.turn }
  else delivery.due = due
}

const resultOf = (result: Result): AttemptResult => {
  if (result === "success") return "success"
  return result === "permanent" || result === "gone" ? "failure_permanent" : "failure_retryable"
}

/** The webhook's part of outcomes that were written at once, in their order. */
export const observed = (model: Model, webhook: Webhook, all: ReadonlyArray<Seen>): void => {
  const counted = all.filter(({ result }) => result !== "uncharged")
  const failures = counted.filter(({ result }) => result !== "success").length
  const successes = counted.length - failures
  const inARow = counted.length - 1 - counted.map(({ result }) => result).lastIndexOf("success")
  webhook.failuresInARow = (successes > 0 ? 0 : webhook.failuresInARow) + inARow
  if (inARow > 0) webhook.isFailing = true
  else if (successes > 0) webhook.isFailing = false
  if (model.now - webhook.windowSince >= windowSeconds) forgetWindow(webhook, model.now)
  webhook.windowAttempts += counted.length
  webhook.windowFailures += failures
  if (all.some(({ result }) => result === "gone") && webhook.isActive) {
    webhook.isActive = false
    webhook.reason = "gone"
  }
  const probe = counted.find(({ leaseToken }) => leaseToken === webhook.probe)
  const probeSucceeded = probe === undefined ? null : probe.result === "success"
  decide(model, webhook, { successes, failures, probeSucceeded })
}

const forgetWindow = (webhook: Webhook, since: number): void => {
  webhook.windowSince = since
  webhook.windowAttempts = 0
  webhook.windowFailures = 0
}

const decide = (
  model: Model,
  webhook: Webhook,
  seen: Pick<Circuit.Observed, "failures" | "probeSucceeded" | "successes">
) => {
  const { circuit, failuresInARow: consecutiveFailures, windowAttempts, windowFailures } = webhook
  const change = Circuit.observe(circuit, { ...seen, consecutiveFailures, windowAttempts, windowFailures }, 0.5)
  if (change === null) return
  if (change.circuit.state !== circuit.state) forgetWindow(webhook, webhook.windowSince)
  webhook.circuit = change.circuit
  webhook.until = change.pauseMs === null ? null : model.now + change.pauseMs / 1_000
}

/** Leases whose time is over end, each as an attempt of which nobody knows what came. How many. */
export const reclaim = (model: Model): number => {
  const ended = Array.from(model.deliveries.values()).filter(({ lease }) => lease !== null && lease.until <= model.now)
  for (const delivery of ended) {
    const isPoison = ++delivery.unknown >= unknownMax
    delivery.lease = null
    delivery.results.push("outcome_unknown")
    delivery.due = isPoison ? null : { at: model.now, turn: model.turn }
    if (isPoison) {
      delivery.status = "failed_permanent"
      delivery.webhook.quarantined++
    }
  }
  return ended.length
}

/** Whether it was made due again. */
export const retryByHand = (model: Model, delivery: Delivery): boolean => {
  if (delivery.lease !== null) return false
  delivery.status = "pending"
  delivery.charged = 0
  delivery.unknown = 0
  delivery.due = { at: model.now, turn: model.turn }
  if (delivery.webhook.circuit.state === "open") delivery.webhook.until = model.now
  return true
}

/** What was known of the endpoint is forgotten, and it begins with one at once. */
export const beginAnew = (webhook: Webhook): void => {
  webhook.circuit = Circuit.closing(0)
  webhook.until = null
  webhook.failuresInARow = 0
  webhook.isFailing = false
  forgetWindow(webhook, webhook.windowSince)
}
