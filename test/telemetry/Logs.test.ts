import * as Headers from "@effect/platform/Headers"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Redacted, Tracer } from "effect"
import * as Logs from "../../src/telemetry/Logs.ts"

/** The records that the effect leaves, decoded. */
const logged = <E>(effect: Effect.Effect<unknown, E>) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const collecting = Logger.map(Logs.json, (line) => void lines.push(line))
    yield* effect.pipe(Effect.provide(Logger.replace(Logger.defaultLogger, collecting)))
    for (const line of lines) assert.notInclude(line, "\n")
    return lines.map((line) => JSON.parse(line))
  })

describe("A log record in JSON", () => {
  it.effect("has its facts and annotations beside the message", () =>
    Effect.gen(function*() {
      const [record] = yield* logged(
        Effect.logWarning("delivery failed", { status: 500, errorClass: null }).pipe(
          Effect.annotateLogs({ deliveryId: "dlv_1" })
        )
      )
      assert.deepStrictEqual(record, {
        timestamp: "1970-01-01T00:00:00.000Z",
        level: "WARN",
        message: "delivery failed",
        deliveryId: "dlv_1",
        status: 500
      })
    }))

  it.effect("names the span in which it was written, where it is recorded", () =>
    Effect.gen(function*() {
      const ids = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7" }
      const within = (sampled: boolean) =>
        Effect.withParentSpan(Effect.log("hi"), Tracer.externalSpan({ ...ids, sampled }))
      const [recorded, unrecorded] = yield* logged(Effect.zip(within(true), within(false)))
      assert.deepInclude(recorded, { trace_id: ids.traceId, span_id: ids.spanId })
      assert.notProperty(unrecorded, "trace_id")
    }))

  it.effect("tells an error or a cause as text, and a secret not at all", () =>
    Effect.gen(function*() {
      const [failed, died, secret] = yield* logged(Effect.all([
        Effect.logError("failed", new Error("no\nway")),
        Effect.catchAllCause(Effect.dieMessage("a bug"), (cause) => Effect.logError("died", cause)),
        Effect.log("secret", { key: Redacted.make("hidden") }, 12n)
      ]))
      assert.match(failed.error, /no\nway/)
      assert.match(died.error, /a bug/)
      assert.deepInclude(secret, { message: "secret 12", key: "<redacted>" })
    }))

  it.effect("is written whatever it holds: a BigInt, itself, a secret within", () =>
    Effect.gen(function*() {
      const circle: Record<string, unknown> = { name: "round" }
      circle["self"] = circle
      const headers = Headers.fromInput({ authorization: "Bearer s3cret", accept: "*/*" })
      const [whole, deep, round, within] = yield* logged(Effect.all([
        Effect.annotateLogs(Effect.log("whole", { size: 12n }), "count", 13n),
        Effect.log("deep", { sizes: [12n], other: 1 }),
        Effect.log("round", { circle }),
        Effect.log("within", { request: { headers } })
      ]))
      assert.deepInclude(whole, { message: "whole", size: "12", count: "13" })
      assert.deepInclude(deep, { message: "deep", other: 1 })
      assert.deepInclude(round, { circle: { name: "round" } })
      assert.notInclude(JSON.stringify(within), "s3cret")
    }))
})
