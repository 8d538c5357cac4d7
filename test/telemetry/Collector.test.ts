import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Metric, Option, Queue, Redacted } from "effect"
import * as Collector from "../../src/telemetry/Collector.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import * as Telemetry from "../../src/telemetry/Telemetry.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"

const options = (endpoint: URL): Telemetry.TelemetryOptions => ({
  endpoint: Option.some(endpoint),
  headers: Redacted.make({}),
  serviceName: "test",
  timeout: Duration.minutes(5),
  sampler: "always_on",
  ratio: 1,
  traces: true,
  metrics: false,
  logs: false,
  traceInterval: Duration.hours(1),
  metricInterval: Duration.hours(1),
  logInterval: Duration.hours(1)
})

const dropped = Effect.map(
  Metric.value(Metric.tagged(Metrics.exportsDropped, "signal", "traces")),
  ({ count }) => count
)

/** So many spans that so many batches are full. */
const batches = (count: number) =>
  Effect.replicateEffect(Effect.withSpan(Effect.void, "work"), count * 512, { discard: true })

describe("A collector", () => {
  it.scopedLive("that never answers holds two batches, and those that come after are dropped and counted", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make("hang")
      const before = yield* dropped
      yield* Effect.gen(function*() {
        yield* batches(12)
        yield* eventually(dropped, (count) => count - before === 10)
        yield* soon(Queue.takeN(receiver.requests, 2))
      }).pipe(Effect.provide(Telemetry.layer(options(receiver.url("/")))))
      assert.lengthOf(receiver.received, 2)
    }))

  it.scopedLive(
    "that is not there is left alone for a while, and nothing is kept for it",
    () =>
      Effect.gen(function*() {
        const before = yield* dropped
        yield* Effect.gen(function*() {
          yield* batches(1)
          yield* eventually(dropped, (count) => count > before)
          const then = yield* dropped
          yield* batches(20)
          assert.strictEqual(yield* dropped, then)
        }).pipe(Effect.provide(Telemetry.layer(options(new URL("http://127.0.0.1:1")))))
      }),
    30_000
  )

  it.scopedLive("that takes nothing is told of once, and once when it takes some again", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make([{ status: 400 }, { status: 400 }, { status: 200 }])
      const said: Array<string> = []
      const collecting = Logger.make(({ logLevel, message }) =>
        void said.push(`${logLevel.label} ${String(Array.isArray(message) ? message[0] : message)}`)
      )
      yield* Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        yield* Effect.replicateEffect(Effect.ignore(client.post(receiver.url("/v1/traces"))), 4)
      }).pipe(
        Effect.provide(Layer.merge(
          Collector.layer({ timeout: Duration.minutes(1) }).pipe(Layer.provide(NodeHttpClient.layerUndici)),
          Logger.replace(Logger.defaultLogger, collecting)
        ))
      )
      assert.deepStrictEqual(said, [
        "WARN the collector does not take telemetry: what is for it is lost until it does",
        "INFO the collector takes telemetry again"
      ])
    }))

  it.scopedLive("that is busy for a moment is asked again", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make([{ status: 503 }, { status: 200 }])
      const before = yield* dropped
      yield* Effect.gen(function*() {
        yield* batches(1)
        const [first, second] = yield* soon(Queue.takeN(receiver.requests, 2))
        assert.strictEqual(first?.text, second?.text)
      }).pipe(Effect.provide(Telemetry.layer(options(receiver.url("/prefix/")))))
      assert.strictEqual(receiver.received[0]?.path, "/prefix/v1/traces")
      assert.strictEqual(yield* dropped, before)
    }))
})
