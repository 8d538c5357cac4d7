/** The service as it exports to a collector, and what its spans tell of attempts. */
import { Effect, Layer, Logger } from "effect"
import { assert } from "vitest"
import type { DeliveryId } from "../../src/domain/Ids.ts"
import * as Rows from "./ApiRows.ts"
import { ApiTest, expectStatus, make, type Tenant } from "./ApiTest.ts"
import { eventually } from "./Eventually.ts"
import { type ExportedSpan, OtlpReceiver } from "./OtlpReceiver.ts"
import * as PgTest from "./PgTest.ts"
import type * as ScriptedReceiver from "./ScriptedReceiver.ts"

/** Everything is recorded and exported at once; what is logged goes to the collector alone. */
export const layer = Layer.unwrapEffect(Effect.map(OtlpReceiver, ({ endpoint }) =>
  make({
    databaseUrl: PgTest.url,
    settings: {
      LOG_LEVEL: "INFO",
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: "x-collector-key=sesame",
      OTEL_TRACES_SAMPLER: "parentbased_always_on",
      OTEL_BSP_SCHEDULE_DELAY: "50",
      OTEL_METRIC_EXPORT_INTERVAL: "100",
      OTEL_BLRP_SCHEDULE_DELAY: "50",
      WEBHOOKS_SEND_TRACEPARENT: "true",
      WEBHOOKS_DISPATCHER_POLL_INTERVAL_MS: "50"
    }
  }))).pipe(
    Layer.provide(Logger.remove(Logger.defaultLogger)),
    Layer.provideMerge(Layer.merge(OtlpReceiver.layer, PgTest.layer))
  )

export const publisher = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7" }
export const traceparent = `00-${publisher.traceId}-${publisher.spanId}-01`

/** The first span that is so, once it has been exported. */
export const exported = (wanted: (span: ExportedSpan) => boolean) =>
  Effect.flatMap(OtlpReceiver, ({ spans }) =>
    Effect.map(eventually(spans, (all) => all.some(wanted)), (all) => {
      const found = all.find(wanted)
      assert(found !== undefined)
      return found
    }))

/** A webhook of a client of its own, an event for it, and its first attempt. */
export const attempt = (eventType: string, ...script: ReadonlyArray<ScriptedReceiver.Answer>) =>
  Effect.gen(function*() {
    const { attempted, newTenant } = yield* ApiTest
    const tenant = yield* newTenant
    const receiver = yield* Rows.receiver(...script)
    const url = `${receiver.url("/hook").href}?token=secret`
    const webhook = yield* Rows.register(tenant.client, { url, events: [eventType] })
    const delivery = yield* publish(tenant, eventType)
    yield* attempted(delivery)
    const span = yield* exported(({ attributes }) => attributes["webhook_event_id"] === delivery)
    return { delivery, receiver, span, tenant, webhook }
  })

export const publish = (
  { client }: Tenant,
  eventType: string,
  headers: Readonly<Record<string, string>> = { traceparent }
) =>
  Effect.map(
    client.post("/api/events", { event_type: eventType, payload: { id: 1 } }, headers),
    (answer): DeliveryId => expectStatus(answer, 202).json.deliveries[0].id
  )
