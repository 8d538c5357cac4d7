/**
 * What is published and what attempts come to, by webhook and event type. Metrics that are tagged once and kept cost a
 * fraction of those that are tagged at each call; and as only so many are kept, the number of series is bounded, whatever
 * publishers and clients do.
 */
import * as Metric from "effect/Metric"
import type { WebhookId } from "../domain/Ids.ts"
import * as Exemplars from "./Exemplars.ts"
import * as Metrics from "./Metrics.ts"
import type { AttemptSpan } from "./Spans.ts"

/** Pairs of webhook and event type with series of their own. The others share one for each event type. */
const pairsMax = 1_000

export interface Attempted {
  readonly webhookId: WebhookId
  readonly eventType: string
  readonly group: Metrics.StatusGroup
  readonly durationMs: number
  /** From the commit of the delivery to the end of this attempt, where it was delivered. */
  readonly endToEndMs: number | null
  readonly span: AttemptSpan
}

/** Counts it. */
export const observe = ({ durationMs, endToEndMs, eventType, group, span, webhookId }: Attempted): void => {
  const { attempts, latency, latencyTags } = seriesOf(webhookId, eventType)
  counterOf(attempts, group).unsafeUpdate(1, [])
  latency.unsafeUpdate(durationMs, [])
  if (endToEndMs !== null) endToEndOf(eventType).unsafeUpdate(endToEndMs, [])
  if (span !== null) Exemplars.remember(Metrics.latencyName, latencyTags, durationMs, span)
}

/** Counts deliveries that were committed. */
export const observePublished = (eventType: string, deliveries: number): void => {
  const type = Metrics.eventTypeTag(eventType)
  kept(publishedByType, type, () => Metric.tagged(Metrics.published, "event_type", type)).unsafeUpdate(deliveries, [])
}

/** Counts a delivery that an open circuit makes wait. */
export const observeHeld = (webhookId: WebhookId, eventType: string): void =>
  counterOf(seriesOf(webhookId, eventType).attempts, "circuit_open").unsafeUpdate(1, [])

type Counter = Metric.Metric.Counter<number>
type Histogram = typeof Metrics.attemptLatency

interface Series {
  readonly attempts: { readonly base: Counter; readonly byGroup: Map<string, Counter> }
  readonly latency: Histogram
  readonly latencyTags: Readonly<Record<string, string>>
}

const pairs = new Map<WebhookId, Map<string, Series>>()
let pairCount = 0
const shared = new Map<string, Series>()
const endToEnds = new Map<string, Histogram>()
const publishedByType = new Map<string, Counter>()

const seriesOf = (webhookId: WebhookId, eventType: string): Series => {
  const known = pairs.get(webhookId)?.get(eventType)
  if (known !== undefined) return known
  const type = Metrics.eventTypeTag(eventType)
  if (pairCount >= pairsMax) return kept(shared, type, () => make("other", type))
  pairCount += 1
  return kept(kept(pairs, webhookId, () => new Map()), eventType, () => make(Metrics.masked(webhookId), type))
}

const make = (webhook: string, type: string): Series => {
  const tags = { webhook_id_masked: webhook, event_type: type }
  return {
    attempts: { base: tagged(Metrics.attempts, tags), byGroup: new Map() },
    latency: tagged(Metrics.attemptLatency, tags),
    latencyTags: tags
  }
}

const counterOf = ({ base, byGroup }: Series["attempts"], group: string): Counter =>
  kept(byGroup, group, () => Metric.tagged(base, "http_status_code_group", group))

const endToEndOf = (eventType: string): Histogram => {
  const type = Metrics.eventTypeTag(eventType)
  return kept(endToEnds, type, () => Metric.tagged(Metrics.endToEnd, "event_type", type))
}

const tagged = <Type, In, Out>(metric: Metric.Metric<Type, In, Out>, tags: Readonly<Record<string, string>>) =>
  Object.entries(tags).reduce((all, [key, value]) => Metric.tagged(all, key, value), metric)

const kept = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
