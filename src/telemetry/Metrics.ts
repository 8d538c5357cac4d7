/** Every metric of the service, declared once, under the names its operators know. */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"

const name = (suffix: string): string => `deeper_hub.webhooks.${suffix}`

export const published = Metric.counter(name("events.published_to_dispatcher.count"), {
  description: "Deliveries committed for the dispatcher, by event type",
  incremental: true
})

export const attempts = Metric.counter(name("delivery.attempts.count"), {
  description: "Attempts, by event type and group of status",
  incremental: true
})

export const attemptLatency = Metric.histogram(
  name("delivery.latency_ms"),
  MetricBoundaries.fromIterable([5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000]),
  "Milliseconds of one attempt, from the DNS question to the end of the answer"
)

export const retriesScheduled = Metric.counter(name("retries.scheduled.count"), {
  description: "Failed attempts that will be followed by another",
  incremental: true
})

export const queueDepth = Metric.gauge(name("queue.depth"), { description: "Leased deliveries that wait for a worker" })

export const inflight = Metric.gauge(name("inflight"), { description: "Attempts under way" })

export const actorRestarts = Metric.counter(name("actor.restarts.count"), {
  description: "Crashes of supervised actors",
  incremental: true
})

const eventTypesMax = 200
const eventTypes = new Set<string>()

/** An event type as a tag: publishers choose the names, so past the first 200 they are all `other`. */
export const eventTypeTag = (eventType: string): string => {
  if (!eventTypes.has(eventType) && eventTypes.size >= eventTypesMax) return "other"
  eventTypes.add(eventType)
  return eventType
}

/** The status group of an attempt: what an operator sorts attempts by. */
export const statusGroup = (status: number | null, errorClass: string | null): string => {
  if (status !== null) return `${Math.floor(status / 100)}xx`
  if (errorClass === "response_timeout" || errorClass === "connect_timeout") return "timeout"
  return errorClass === "blocked_address" ? "blocked" : "network"
}
