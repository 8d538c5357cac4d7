import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Delivery from "../../src/domain/Delivery.ts"

const statuses = Delivery.DeliveryStatus.literals
const occurrences: ReadonlyArray<Delivery.Occurrence> = [
  "succeeded",
  "failed_retryable",
  "failed_permanent",
  "retried_by_hand"
]

/** The design's words: an open delivery takes any outcome, an ended one only its owner's wish. */
const model = (status: Delivery.DeliveryStatus, occurrence: Delivery.Occurrence): Delivery.DeliveryStatus | null => {
  if (occurrence === "retried_by_hand") return "pending"
  if (status === "delivered" || status === "failed_permanent") return null
  return occurrence === "succeeded" ? "delivered" : occurrence
}

describe("Delivery.transition", () => {
  it("allows exactly what the design allows", () => {
    for (const status of statuses) {
      for (const occurrence of occurrences) {
        assert.strictEqual(
          Delivery.transition(status, occurrence),
          model(status, occurrence),
          `${status}, ${occurrence}`
        )
      }
    }
  })

  it.prop(
    "keeps an ended delivery as it is, whatever comes, until it is retried by hand",
    [FastCheck.array(FastCheck.constantFrom(...occurrences), { maxLength: 30 })],
    ([story]) => {
      let status: Delivery.DeliveryStatus = "pending"
      for (const occurrence of story) {
        const ended = !Delivery.isOpen(status)
        const next: Delivery.DeliveryStatus = Delivery.transition(status, occurrence) ?? status
        if (ended) assert.strictEqual(next, occurrence === "retried_by_hand" ? "pending" : status)
        status = next
      }
      const last = story.at(-1) ?? "retried_by_hand"
      if (last === "retried_by_hand") assert.strictEqual(status, "pending")
    }
  )

  it("never returns to pending but by hand", () => {
    for (const status of statuses) {
      for (const occurrence of occurrences) {
        const next = Delivery.transition(status, occurrence)
        assert.strictEqual(next === "pending", occurrence === "retried_by_hand")
      }
    }
  })

  it("leaves work to do in pending and failed_retryable", () => {
    assert.deepStrictEqual(statuses.filter(Delivery.isOpen), ["pending", "failed_retryable"])
  })
})
