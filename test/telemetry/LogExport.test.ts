import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Metric, Option, Queue, Redacted } from "effect"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import * as Telemetry from "../../src/telemetry/Telemetry.ts"
import { eventually, soon } from "../support/Eventually.ts"
import { OtlpReceiver } from "../support/OtlpReceiver.ts"
import * as ScriptedReceiver from "../support/ScriptedReceiver.ts"

const exporting = (endpoint: string) =>
  Telemetry.layer({
    endpoint: Option.some(new URL(endpoint)),
    headers: Redacted.make({}),
    serviceName: "test",
    timeout: Duration.minutes(5),
    sampler: "always_on",
    ratio: 1,
    traces: false,
    metrics: false,
    logs: true,
    traceInterval: Duration.hours(1),
    metricInterval: Duration.hours(1),
    logInterval: Duration.hours(1)
  }).pipe(Layer.merge(Logger.remove(Logger.defaultLogger)))

/** What a collector has of this by the end of the exporter. */
const exported = (effect: Effect.Effect<unknown>) =>
  Effect.gen(function*() {
    const receiver = yield* OtlpReceiver
    yield* Effect.provide(effect, exporting(receiver.endpoint))
    return yield* receiver.logs
  }).pipe(Effect.provide(OtlpReceiver.layer))

const dropped = Effect.map(Metric.value(Metric.tagged(Metrics.exportsDropped, "signal", "logs")), ({ count }) => count)

describe("An exported log record", () => {
  it.scopedLive("has every fact as what it is", () =>
    Effect.gen(function*() {
      const facts = {
        quoted: `"a\\b"\n`,
        text: "é 😀 \u2028",
        whole: 7,
        part: 3.25,
        none: Number.NaN,
        beyond: 2 ** 70,
        yes: true,
        many: [1, "two"],
        large: 12n,
        absent: null,
        inner: { a: 1 },
        secret: Redacted.make("hidden")
      }
      const [record] = yield* exported(Effect.logWarning(`it "happened"`, facts).pipe(Effect.annotateLogs("who", "me")))
      assert.deepInclude(record, { body: `it "happened"`, level: "WARN", severity: 13 })
      const { inner, ...others } = record?.attributes ?? {}
      assert.deepStrictEqual(JSON.parse(String(inner)), { a: 1 })
      assert.deepStrictEqual(others, {
        who: "me",
        quoted: `"a\\b"\n`,
        text: "é 😀 \u2028",
        whole: 7,
        part: 3.25,
        none: "NaN",
        beyond: 2 ** 70,
        yes: true,
        many: { values: [{ intValue: 1 }, { stringValue: "two" }] },
        large: "12",
        secret: "<redacted>"
      })
    }))

  it.scopedLive("has its level, and its error or cause as text", () =>
    Effect.gen(function*() {
      const records = yield* exported(Effect.all([
        Effect.logInfo("said"),
        Effect.logError("failed", new Error("no way")),
        Effect.catchAllCause(Effect.dieMessage("a bug"), (cause) => Effect.logFatal("died", cause))
      ]))
      assert.deepStrictEqual(records.map(({ severity }) => severity), [9, 17, 21])
      assert.match(String(records[1]?.attributes["error"]), /no way/)
      assert.match(String(records[2]?.attributes["error"]), /a bug/)
    }))
})

describe("Exported log records", () => {
  it.scopedLive("go when there are enough of them, and what is left at the end", () =>
    Effect.gen(function*() {
      const receiver = yield* ScriptedReceiver.make()
      const count = (text: string | undefined) => (text ?? "").split(`"body":`).length - 1
      yield* Effect.gen(function*() {
        yield* Effect.replicateEffect(Effect.log("said"), 600, { discard: true })
        assert.strictEqual(count((yield* soon(Queue.take(receiver.requests))).text), 512)
      }).pipe(Effect.provide(exporting(receiver.url("/").href)))
      assert.strictEqual(count(receiver.received[1]?.text), 88)
      assert.lengthOf(receiver.received, 2)
      assert.deepInclude(receiver.received[0]?.headers, { "content-type": "application/json" })
    }))

  it.scopedLive(
    "are not kept for a collector that is not there, and it is left alone for a while",
    () =>
      Effect.gen(function*() {
        const before = yield* dropped
        yield* Effect.gen(function*() {
          yield* Effect.replicateEffect(Effect.log("said"), 512, { discard: true })
          yield* eventually(dropped, (count) => count > before)
          const then = yield* dropped
          yield* Effect.replicateEffect(Effect.log("said"), 5_120, { discard: true })
          assert.strictEqual(yield* dropped, then)
        }).pipe(Effect.provide(exporting("http://127.0.0.1:1")))
      }),
    30_000
  )
})
