/** Every metric of the service, declared once, under the names its operators know. */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"

const name = (suffix: string): string => `deeper_hub.webhooks.${suffix}`

export const published = Metric.counter(name("events.published_to_dispatcher.count"), {
  description: "Deliveries committed for the dispatcher, by event type",
  incremental: true
})

export const intakeBatchSize = Metric.histogram(
  name("intake.batch_size"),
  MetricBoundaries.fromIterable([1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000]),
  "Events that were committed together"
)

export const outboxRefused = Metric.counter(name("outbox.refused.count"), {
  description: "Rows of the outbox that were set aside because they are no events",
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

export const registered = Metric.gauge(name("registered.count"), {
  description: "Webhooks in the database; every node says the same"
})

export const oldestDueAge = Metric.gauge(name("queue.oldest_due_age_seconds"), {
  description: "How long the oldest delivery has been due that nothing holds; every node says the same"
})

export const held = Metric.gauge(name("deliveries.held"), {
  description: "Deliveries that are due and wait for their webhook, by what holds them; every node says the same"
})

export const actorRestarts = Metric.counter(name("actor.restarts.count"), {
  description: "Crashes of supervised actors",
  incremental: true
})

export const circuitChanges = Metric.counter(name("circuit_breaker.state_changed.count"), {
  description: "Changes of circuits, by host and the state that was entered",
  incremental: true
})
export const partitionsDropped = Metric.counter(name("partitions.dropped.count"), {
  description: "Days past the retention that were dropped, by table",
  incremental: true
})

export const deactivated = Metric.counter(name("deactivated_due_to_failure.count"), {
  description: "Webhooks switched off because they kept failing, by masked id",
  incremental: true
})

/** Values of a tag that others choose: past so many they are all `other`. */
const bounded = (most: number) => {
  const known = new Set<string>()
  return (value: string): string => {
    if (!known.has(value) && known.size >= most) return "other"
    known.add(value)
    return value
  }
}

/** An event type as a tag: publishers choose the names. */
export const eventTypeTag = bounded(200)

/** The host of a webhook's URL as a tag. */
export const hostTag = bounded(200)

const maskedTag = bounded(200)

/** A webhook as a tag: enough to recognise it by, and not its id. */
export const webhookTag = (id: string): string => maskedTag(`${id.slice(0, 4)}***${id.slice(-4)}`)

/** The status group of an attempt: what an operator sorts attempts by. */
export const statusGroup = (status: number | null, errorClass: string | null): string => {
  if (status !== null) return `${Math.floor(status / 100)}xx`
  if (errorClass === "response_timeout" || errorClass === "connect_timeout") return "timeout"
  return errorClass === "blocked_address" ? "blocked" : "network"
}
