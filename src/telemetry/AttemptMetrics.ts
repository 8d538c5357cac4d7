/**
 * What is published and what attempts come to, by webhook and event type. A series is found by the list of its labels:
 * a metric that is handed the very list again finds the series at once, while `Metric.tagged` puts the labels together
 * and hashes them at every call. And as only so many lists are kept, the number of series is bounded, whatever publishers
 * and clients do.
 */
import * as MetricLabel from "effect/MetricLabel"
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
  const { byGroup, labels, tags } = seriesOf(webhookId, eventType)
  Metrics.attempts.unsafeUpdate(1, labelsOfGroup(byGroup, labels, group))
  Metrics.attemptLatency.unsafeUpdate(durationMs, labels)
  if (endToEndMs !== null) Metrics.endToEnd.unsafeUpdate(endToEndMs, labelsOfType(eventType))
  if (span !== null) Exemplars.remember(Metrics.latencyName, tags, durationMs, span)
}

/** Counts deliveries that were committed. */
export const observePublished = (eventType: string, deliveries: number): void =>
  Metrics.published.unsafeUpdate(deliveries, labelsOfType(eventType))

/** Counts a delivery that an open circuit makes wait. */
export const observeHeld = (webhookId: WebhookId, eventType: string): void => {
  const { byGroup, labels } = seriesOf(webhookId, eventType)
  Metrics.attempts.unsafeUpdate(1, labelsOfGroup(byGroup, labels, "circuit_open"))
}

type Labels = ReadonlyArray<MetricLabel.MetricLabel>

interface Series {
  readonly tags: Readonly<Record<string, string>>
  readonly labels: Labels
  /** The same with the group of the status. */
  readonly byGroup: Map<Metrics.StatusGroup, Labels>
}

const pairs = new Map<WebhookId, Map<string, Series>>()
let pairCount = 0
const shared = new Map<string, Series>()
const types = new Map<string, Labels>()

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
  return { tags, labels: Object.entries(tags).map(([key, value]) => MetricLabel.make(key, value)), byGroup: new Map() }
}

const labelsOfGroup = (known: Series["byGroup"], labels: Labels, group: Metrics.StatusGroup): Labels =>
  kept(known, group, () => [...labels, MetricLabel.make("http_status_code_group", group)])

const labelsOfType = (eventType: string): Labels => {
  const type = Metrics.eventTypeTag(eventType)
  return kept(types, type, () => [MetricLabel.make("event_type", type)])
}

const kept = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
