/** Places that publishes under way have set aside, and claims at the same time: no order of them takes too many. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import * as Ids from "../../src/domain/Ids.ts"
import { type Allotment, Bulkhead } from "../../src/runtime/Bulkhead.ts"
import type { PlacesOptions, Reservation } from "../../src/runtime/Places.ts"

const options = FastCheck.record({
  places: FastCheck.integer({ min: 1, max: 300 }),
  placesPerWebhook: FastCheck.integer({ min: 1, max: 20 })
})

/** `which` picks one of what is under way; `order` says in which order webhooks are asked for, or take what there is. */
const step = FastCheck.record({
  kind: FastCheck.constantFrom("reserve", "settle", "fail", "allot", "enter", "leave", "leave"),
  which: FastCheck.nat(1_000),
  events: FastCheck.integer({ min: 1, max: 40 }),
  order: FastCheck.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 1 }),
  ms: FastCheck.constantFrom(5, 5_000, null)
})
type Step = typeof step extends FastCheck.Arbitrary<infer A> ? A : never

interface World {
  readonly bulkhead: Bulkhead["Type"]
  readonly webhooks: ReadonlyArray<Ids.WebhookId>
  readonly publishing: Array<{ readonly reservation: Reservation; readonly events: number }>
  readonly claiming: Array<ReadonlyArray<Allotment>>
  /** Deliveries in hand, by webhook. */
  readonly inHand: Array<Ids.WebhookId>
}

const takeOut = <A>(from: Array<A>, which: number): A | undefined =>
  from.length === 0 ? undefined : from.splice(which % from.length, 1)[0]

/** As many as the offer lets a publish of so many events lease: the worst that it can do. */
const greedy = ({ events, reservation }: World["publishing"][number], webhooks: ReadonlyArray<Ids.WebhookId>) =>
  webhooks
    .flatMap((webhook) => {
      const { most = reservation.mostPerWebhook } = reservation.limited.find(({ webhookId }) =>
        webhookId === webhook
      ) ?? {}
      return Array.from({ length: Math.min(events, most) }, () => webhook)
    })
    .slice(0, reservation.places)

const run = (world: World, { events, kind, ms, order, which }: Step) =>
  Effect.gen(function*() {
    const { bulkhead, claiming, inHand, publishing } = world
    const webhooks = order.flatMap((i) => world.webhooks[i] ?? [])
    if (kind === "reserve") {
      const reservation = yield* bulkhead.reserve(events)
      if (reservation !== null) publishing.push({ reservation, events })
    } else if (kind === "allot") {
      const allotted = yield* bulkhead.allot(webhooks)
      if (allotted.length > 0) claiming.push(allotted)
    } else if (kind === "enter") {
      const allotted = takeOut(claiming, which) ?? []
      const claimed = allotted.flatMap(({ most, webhookId }) =>
        Array.from({ length: which % 3 === 0 ? 0 : most }, () => webhookId)
      )
      yield* bulkhead.enter(allotted, claimed)
      inHand.push(...claimed)
    } else if (kind === "leave") {
      const webhook = takeOut(inHand, which)
      if (webhook !== undefined) bulkhead.leave(webhook, ms)
    } else {
      const publish = takeOut(publishing, which)
      if (publish === undefined) return
      const leased = kind === "settle" ? greedy(publish, webhooks) : []
      yield* bulkhead.settle(publish.reservation, leased)
      inHand.push(...leased)
    }
  })

const count = (webhooks: ReadonlyArray<Ids.WebhookId>, wanted: Ids.WebhookId) =>
  webhooks.reduce((sum, webhook) => webhook === wanted ? sum + 1 : sum, 0)

const check = ({ bulkhead, claiming, inHand, publishing, webhooks }: World, options: PlacesOptions) =>
  Effect.gen(function*() {
    const allotted = claiming.flat()
    const taken = allotted.reduce((sum, { most }) => sum + most, 0) +
      publishing.reduce((sum, { reservation }) => sum + reservation.places, 0)
    const holds = webhooks.map((webhook) =>
      count(inHand, webhook) +
      allotted.reduce((sum, { most, webhookId }) => webhookId === webhook ? sum + most : sum, 0)
    )
    const free = yield* bulkhead.free
    const isWithin = free >= 0 && free === options.places - inHand.length - taken
    if (!isWithin || Math.max(...holds) > options.placesPerWebhook) {
      assert.fail(`free: ${free}, set aside: ${taken}, in hand: ${inHand.length}, each may hold: ${String(holds)}`)
    }
  })

const settleAll = ({ bulkhead, claiming, inHand, publishing }: World) =>
  Effect.gen(function*() {
    for (const { reservation } of publishing) yield* bulkhead.settle(reservation, [])
    for (const allotted of claiming) yield* bulkhead.enter(allotted, [])
    for (const webhook of inHand) bulkhead.leave(webhook, 5)
  })

describe("Reservations", () => {
  const holds = (given: PlacesOptions, steps: ReadonlyArray<Step>) =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead
      const webhooks = yield* Effect.replicateEffect(Ids.make("WebhookId"), 6)
      const world: World = { bulkhead, webhooks, publishing: [], claiming: [], inHand: [] }
      for (const one of steps) {
        yield* run(world, one)
        yield* check(world, given)
      }
      yield* settleAll(world)
      assert.strictEqual(yield* bulkhead.free, given.places, "each place is free again")
      const fresh = Effect.flatMap(Bulkhead, (bulkhead) => bulkhead.allot(webhooks.slice(0, 1)))
      const [allotted] = yield* Effect.provide(fresh, Bulkhead.layer(given))
      assert.isAtLeast((yield* bulkhead.allot(webhooks.slice(0, 1)))[0]?.most ?? 0, allotted?.most ?? 0)
    }).pipe(Effect.provide(Bulkhead.layer(given)), Effect.runSync)

  it("of many publishes, and claims meanwhile, exceed neither the places nor what one webhook may hold", () => {
    const steps = FastCheck.array(step, { maxLength: 60, size: "max" })
    const details = FastCheck.check(FastCheck.property(options, steps, holds), { numRuns: 300 })
    assert.isFalse(details.failed, FastCheck.defaultReportMessage(details))
  })

  it.effect("of publishes that never pause leave half of what a webhook may hold to claims", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead
      const [webhook] = yield* Effect.replicateEffect(Ids.make("WebhookId"), 1)
      assert(webhook)
      const reservations = yield* Effect.replicateEffect(bulkhead.reserve(1), 100)
      assert.lengthOf(reservations.filter((reservation) => reservation !== null), 8)
      assert.deepStrictEqual(yield* bulkhead.allot([webhook]), [{ webhookId: webhook, most: 8 }])
      for (const reservation of reservations) if (reservation !== null) yield* bulkhead.settle(reservation, [])
      assert.deepInclude(yield* bulkhead.reserve(1), { limited: [] })
    }).pipe(Effect.provide(Bulkhead.layer({ places: 1_024, placesPerWebhook: 16 }))))
})
