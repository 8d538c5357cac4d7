import { describe, expect, it } from "@effect/vitest"
import { type Arrival, type Findings, isClean, judge, type Ledgers } from "../../src/demo/Judge.ts"

const told = {
  eventId: "evt_1",
  body: "{\"value\": 1000.0}",
  deliveries: [{ id: "dlv_1", webhookId: "whk_board" }, { id: "dlv_2", webhookId: "whk_erp" }]
}

const arrival = (webhookId: string, deliveryId: string, change: Partial<Arrival> = {}): Arrival => ({
  webhookId,
  says: { webhookId, deliveryId, eventId: "evt_1" },
  body: told.body,
  wrong: [],
  accepted: true,
  ...change
})

const good: Ledgers = {
  webhooks: new Map([["whk_board", "Board"], ["whk_erp", "ERP"]]),
  due: [
    { name: "deal.won", webhookIds: ["whk_board", "whk_erp"], told: [told, told] },
    { name: "lead.created", webhookIds: [], told: [{ eventId: "evt_2", body: "{}", deliveries: [] }] }
  ],
  arrivals: [
    arrival("whk_board", "dlv_1"),
    arrival("whk_erp", "dlv_2", { accepted: false }),
    arrival("whk_erp", "dlv_2")
  ],
  recorded: [
    { deliveryId: "dlv_1", webhookId: "whk_board", status: "delivered", attempts: 1 },
    { deliveryId: "dlv_2", webhookId: "whk_erp", status: "delivered", attempts: 2 }
  ]
}

const found = (change: Partial<Ledgers>): Partial<Findings> =>
  Object.fromEntries(Object.entries(judge({ ...good, ...change })).filter(([, list]) => list.length > 0))

const besides = (...more: ReadonlyArray<Arrival>) => found({ arrivals: [...good.arrivals, ...more] })

describe("the judge of the demo", () => {
  it("finds nothing where everything came, retries and repeated answers included", () => {
    expect(found({})).toEqual({})
    expect(isClean(judge(good))).toBe(true)
  })

  it("misses what no receiver accepted", () => {
    expect(found({ arrivals: good.arrivals.slice(0, 2) }))
      .toEqual({ missing: ["deal.won at ERP"] })
    expect(found({ arrivals: [] })).toEqual({ missing: ["deal.won at Board", "deal.won at ERP"] })
  })

  it("misses what the API never took in", () => {
    expect(found({ due: [...good.due, { name: "deal.lost", webhookIds: ["whk_erp"], told: [] }] }))
      .toEqual({ unpublished: ["deal.lost"] })
  })

  it("sees one altered byte, accepted or not", () => {
    expect(besides(arrival("whk_erp", "dlv_2", { body: "{\"value\": 1000}", accepted: false })))
      .toEqual({ altered: ["deal.won at ERP"] })
  })

  it("names the signatures that were wrong", () => {
    expect(besides(arrival("whk_erp", "dlv_2", { wrong: ["X-Signature"] })))
      .toEqual({ unverified: ["deal.won at ERP (X-Signature)"] })
  })

  it("sees what nobody asked for there: another webhook's, another delivery's, an unknown event", () => {
    expect(besides(arrival("whk_erp", "dlv_3"))).toEqual({ unexpected: ["deal.won at ERP"] })
    expect(besides(arrival("whk_board", "dlv_2"))).toEqual({ unexpected: ["deal.won at Board"] })
    const lead = arrival("whk_erp", "dlv_2", {
      body: "{}",
      says: { webhookId: "whk_erp", deliveryId: "dlv_2", eventId: "evt_2" }
    })
    expect(besides(lead)).toEqual({ unexpected: ["lead.created at ERP"] })
    const stranger = arrival("whk_erp", "dlv_2", {
      says: { webhookId: "whk_erp", deliveryId: "dlv_2", eventId: "evt_9" }
    })
    expect(besides(stranger)).toEqual({ unexpected: ["evt_9 at ERP"] })
  })

  it("sees one key that made two events", () => {
    expect(
      found({
        due: [{ name: "deal.won", webhookIds: ["whk_board", "whk_erp"], told: [told, { ...told, eventId: "evt_7" }] }]
      })
    )
      .toEqual({ doubled: ["deal.won"] })
  })

  it("wants the service's own account to say delivered, and no more than that", () => {
    const [board] = good.recorded
    const unsettled = good.recorded.map((one) => one === board ? one : { ...one, status: "failed_retryable" })
    expect(found({ recorded: unsettled })).toEqual({ unsettled: ["deal.won at ERP"] })
    const extra = { deliveryId: "dlv_8", webhookId: "whk_erp", status: "delivered", attempts: 1 }
    expect(found({ recorded: [...good.recorded, extra] })).toEqual({ unexpected: ["dlv_8 at ERP"] })
  })
})
