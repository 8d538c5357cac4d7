import { assert, describe, it } from "@effect/vitest"
import { DateTime } from "effect"
import { statusOf, type Watched } from "../../src/domain/Health.ts"

const at = DateTime.unsafeMake
const never = {
  isActive: true,
  failureCount: 0,
  lastSuccessfulDeliveryAt: null,
  lastCheckAt: null,
  lastCheckResult: null
}
const status = (change: Partial<Watched>) => statusOf({ ...never, ...change } as Watched)

describe("Health.statusOf", () => {
  it("is unknown until anything was sent, and inactive while it is switched off", () => {
    assert.strictEqual(status({}), "unknown")
    assert.strictEqual(status({ isActive: false, failureCount: 3 }), "inactive")
  })

  it("goes by deliveries", () => {
    assert.strictEqual(status({ lastSuccessfulDeliveryAt: at(1) }), "healthy")
    assert.strictEqual(status({ failureCount: 1, lastSuccessfulDeliveryAt: at(1) }), "failing")
  })

  it("goes by a check that came later, or where nothing was delivered yet", () => {
    assert.strictEqual(status({ lastCheckAt: at(1), lastCheckResult: "healthy" }), "healthy")
    assert.strictEqual(status({ lastCheckAt: at(1), lastCheckResult: "unhealthy" }), "failing")
    const unhealthy = { lastCheckAt: at(5), lastCheckResult: "unhealthy" } as const
    assert.strictEqual(status({ ...unhealthy, lastSuccessfulDeliveryAt: at(4) }), "failing")
    assert.strictEqual(status({ ...unhealthy, lastSuccessfulDeliveryAt: at(6) }), "healthy")
    assert.strictEqual(status({ failureCount: 1, lastCheckAt: at(5), lastCheckResult: "healthy" }), "failing")
  })
})
