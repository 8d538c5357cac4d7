/** Every metric of the service, declared once, under the names its operators know. */
import * as Effect from "effect/Effect"
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
  description:
    "Attempts, by masked webhook, event type and group of status; circuit_open: deliveries that waited instead",
  incremental: true
})

export const latencyName = name("delivery.latency_ms")

export const attemptLatency = Metric.histogram(
  latencyName,
  MetricBoundaries.fromIterable([5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000]),
  "Milliseconds of one attempt, from the DNS question to the end of the answer"
)

export const endToEnd = Metric.histogram(
  name("end_to_end.latency_ms"),
  MetricBoundaries.fromIterable(
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000, 14_400_000]
  ),
  "Milliseconds from the commit of a delivery to the end of the attempt that delivered it"
)

export const retriesScheduled = Metric.counter(name("retries.scheduled.count"), {
  description: "Failed attempts that will be followed by another",
  incremental: true
})

export const queueDepth = Metric.gauge(name("queue.depth"), {
  description: "Leased deliveries that wait for their turn"
})

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

export const due = Metric.gauge(name("deliveries.due"), {
  description: "Deliveries that are due, held by nothing and in nobody's hands, up to 10,000; every node says the same"
})

export const circuits = Metric.gauge(name("circuits"), {
  description: "Webhooks by the state of their circuit; every node says the same"
})

export const switchedOff = Metric.gauge(name("switched_off"), {
  description: "Webhooks that are switched off, by reason; every node says the same"
})

export const databaseSize = Metric.gauge(name("database.size_bytes"), {
  description: "What the database takes; every node says the same"
})

export const partitionDays = Metric.gauge(name("database.partitions"), {
  description: "Days for which there are partitions, those ahead included; every node says the same"
})

export const connections = Metric.gauge(name("database.pool.connections"), {
  description: "Connections of this node's pool that are idle or busy, and statements waiting for one"
})

export const databaseErrors = Metric.counter(name("database.errors.count"), {
  description: "Statements that the database could not do: it was away, overloaded or read-only",
  incremental: true
})

export const exportsDropped = Metric.counter(name("telemetry.exports_dropped.count"), {
  description: "Batches of spans, metrics or log records that no collector took, by signal",
  incremental: true
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

/** Counters that have counted nothing yet, so that their first count is seen as a change. */
export const begin: Effect.Effect<void> = Effect.zipRight(
  Effect.forEach([retriesScheduled, outboxRefused, databaseErrors], (counter) => Metric.incrementBy(counter, 0)),
  Effect.forEach(
    ["traces", "metrics", "logs"],
    (signal) => Metric.incrementBy(Metric.tagged(exportsDropped, "signal", signal), 0),
    { discard: true }
  )
)

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

/** Enough to recognise a webhook by, and not its id. */
export const masked = (id: string): string => `${id.slice(0, 4)}***${id.slice(-4)}`

/** A webhook as a tag. */
export const webhookTag = (id: string): string => maskedTag(masked(id))

/** `circuit_open` stands for a delivery that waited instead of being attempted. */
export type StatusGroup = "2xx" | "3xx" | "4xx" | "5xx" | "timeout" | "network" | "blocked" | "circuit_open"

/** The status group of an attempt: what an operator sorts attempts by. */
export const statusGroup = (status: number | null, errorClass: string | null): StatusGroup => {
  if (status !== null && status >= 200) {
    return status < 300
      ? "2xx"
      : status < 400
      ? "3xx"
      : status < 500
      ? "4xx"
      : "5xx"
  }
  if (errorClass === "response_timeout" || errorClass === "connect_timeout") return "timeout"
  return errorClass === "blocked_address" ? "blocked" : "network"
}
