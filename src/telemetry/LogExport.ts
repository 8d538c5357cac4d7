/**
 * Log records over OTLP (OTLP 1.9, "OTLP/HTTP", in JSON). There is one for each event and each attempt, so each becomes
 * text as it is said, and a batch is its texts put together. The library's own logger makes some thirty objects of each and
 * keeps them until then, for about twice the price.
 */
import * as OtlpResource from "@effect/opentelemetry/OtlpResource"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import type * as Scope from "effect/Scope"
import * as Logs from "./Logs.ts"
import { version } from "./Version.ts"

export interface LogExportOptions {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly resource: Parameters<typeof OtlpResource.make>[0]
  /** Records of one request. */
  readonly maxBatchSize: number
  readonly exportInterval: Duration.DurationInput
  /** For what is left at the end. */
  readonly shutdownTimeout: Duration.DurationInput
}

/** Of a collector that did not take a batch, and of the records that it would have had meanwhile. */
const leftAloneMs = 60_000

/** Sends what is said, by number or by time. What the collector does not take is lost: the client counts it. */
export const make = (
  options: LogExportOptions
): Effect.Effect<Logger.Logger<unknown, void>, never, HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const clock = yield* Effect.clock
    const runFork = yield* FiberSet.makeRuntime<never>()
    const resource = yield* OtlpResource.fromConfig(options.resource)
    const request = HttpClientRequest.post(options.url, {
      headers: { "user-agent": `deeper-hub-webhooks/${version}`, ...options.headers }
    })
    const scope = JSON.stringify({ name: OtlpResource.unsafeServiceName(resource) })
    const before = `{"resourceLogs":[{"resource":${
      JSON.stringify(resource)
    },"scopeLogs":[{"scope":${scope},"logRecords":[`
    let records: Array<string> = []
    let leftAloneUntil = 0
    const isLeftAlone = (): boolean => clock.unsafeCurrentTimeMillis() < leftAloneUntil

    const send = Effect.suspend(() => {
      if (records.length === 0 || isLeftAlone()) return Effect.void
      const body = HttpBody.text(`${before}${records.join(",")}]}]}]}`, "application/json")
      records = []
      return client.execute(HttpClientRequest.setBody(request, body)).pipe(
        Effect.catchAllCause(() =>
          Effect.sync(() => {
            leftAloneUntil = clock.unsafeCurrentTimeMillis() + leftAloneMs
            records = []
          })
        ),
        Effect.withTracerEnabled(false)
      )
    })

    yield* Effect.addFinalizer(() => Effect.timeoutOption(Effect.interruptible(send), options.shutdownTimeout))
    yield* Effect.forkScoped(Effect.forever(Effect.delay(send, options.exportInterval)))
    return Logger.make((said) => {
      if (isLeftAlone()) return
      records.push(recordOf(said))
      if (records.length >= options.maxBatchSize) runFork(send)
    })
  })

/** `LogRecord` of the log data model, piece by piece: no object is made only to be written. */
const recordOf = (options: Logger.Logger.Options<unknown>): string => {
  const { fields, span, text } = Logs.read(options)
  const time = `"${options.date.getTime()}000000"`
  const severity = `"severityNumber":${severityOf(options.logLevel)},"severityText":"${options.logLevel.label}"`
  const ids = span === null ? "" : `,"traceId":"${span.traceId}","spanId":"${span.spanId}","flags":1`
  let attributes = ""
  for (const [key, value] of Object.entries(fields)) {
    attributes += `${attributes === "" ? "" : ","}{"key":${JSON.stringify(key)},"value":${valueOf(value)}}`
  }
  return `{"timeUnixNano":${time},"observedTimeUnixNano":${time},${severity},"body":${
    valueOf(text)
  },"attributes":[${attributes}]${ids}}`
}

/** `AnyValue` of the common data model. */
const valueOf = (value: unknown): string => {
  if (typeof value === "string") return `{"stringValue":${JSON.stringify(value)}}`
  if (typeof value !== "number") return JSON.stringify(OtlpResource.unknownToAttributeValue(value))
  if (Number.isSafeInteger(value)) return `{"intValue":${value}}`
  // As the JSON of protobuf has it.
  return `{"doubleValue":${Number.isFinite(value) ? value : `"${String(value)}"`}}`
}

/** `SeverityNumber` of the log data model. */
const severities: Readonly<Record<string, number>> = { Trace: 1, Debug: 5, Info: 9, Warning: 13, Error: 17, Fatal: 21 }

const severityOf = ({ _tag }: LogLevel.LogLevel): number => severities[_tag] ?? 0
