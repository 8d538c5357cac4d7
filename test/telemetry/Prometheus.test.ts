import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { WebhookId } from "../../src/domain/Ids.ts"
import * as AttemptMetrics from "../../src/telemetry/AttemptMetrics.ts"
import * as Prometheus from "../../src/telemetry/Prometheus.ts"

const webhooks = 350

const observeAll = Effect.sync(() => {
  for (let n = 0; n < webhooks; n++) {
    AttemptMetrics.observe({
      webhookId: WebhookId.make(`whk_${String(n).padStart(26, "0")}`),
      eventType: "deal.won",
      group: "2xx",
      durationMs: n,
      endToEndMs: null,
      span: null
    })
  }
})

/** How often the event loop came round while the effect ran. */
const turnsDuring = <A>(effect: Effect.Effect<A>) =>
  Effect.gen(function*() {
    let turns = 0
    const turn = Effect.async<void>((resume) => {
      setImmediate(() => resume(Effect.sync(() => turns += 1)))
    })
    const counting = yield* Effect.fork(Effect.forever(turn))
    const result = yield* effect
    yield* Fiber.interrupt(counting)
    return { result, turns }
  })

describe("Metrics in Prometheus' format", () => {
  it.effect("say of a metric once what it is, and leave none of its series out", () =>
    Effect.gen(function*() {
      yield* observeAll
      const lines = (yield* Prometheus.render).split("\n")
      const heads = lines.filter((line) => line.startsWith("#"))
      assert.lengthOf(new Set(heads), heads.length)
      assert.lengthOf(heads.filter((line) => line.startsWith("# TYPE target_info")), 1)
      const counts = lines.filter((line) => line.startsWith("deeper_hub_webhooks_delivery_latency_ms_count{"))
      assert.lengthOf(new Set(counts), webhooks)
      assert.lengthOf(lines.filter((line) => line === ""), 1)
    }))

  it.effect("are written in pieces, between which others have their turn", () =>
    Effect.gen(function*() {
      yield* observeAll
      const { turns } = yield* turnsDuring(Prometheus.render)
      assert.isAtLeast(turns, 2 * webhooks / 100)
    }))
})
