import { assert, describe, it } from "@effect/vitest"
import { DateTime, Schema } from "effect"
import * as Audience from "../../src/domain/Audience.ts"
import { EventTypeName, Subscription } from "../../src/domain/EventType.ts"
import { WebhookId } from "../../src/domain/Ids.ts"
import * as Reasons from "../../src/domain/Reasons.ts"

const Events = Schema.Array(Schema.Literal("*", "deal.*", "deal.won", "lead.created", "webhook.*")).pipe(
  Schema.minItems(1)
)
/** A change of some of what a webhook wants. */
const Change = Schema.Struct({
  events: Schema.optional(Events),
  deactivationReason: Schema.optional(Audience.Wants.fields.deactivationReason)
})
const Start = Schema.Struct({ events: Events, deactivationReason: Audience.Wants.fields.deactivationReason })

/** What the audit log has of the changes, one after the other, and what comes of them: only what differs is written. */
const replay = (start: Audience.Wants, changes: ReadonlyArray<typeof Change.Type>) => {
  let now = start
  const log: Array<Audience.Replaced> = []
  for (const change of changes) {
    const next: Audience.Wants = {
      events: change.events === undefined ? now.events : wants(change.events),
      deactivationReason: change.deactivationReason === undefined ? now.deactivationReason : change.deactivationReason
    }
    log.push({
      ...(JSON.stringify(next.events) === JSON.stringify(now.events) ? {} : { events: now.events }),
      ...(next.deactivationReason === now.deactivationReason ? {} : { deactivationReason: now.deactivationReason })
    })
    now = next
  }
  return { log, now }
}

const wants = (events: ReadonlyArray<string>) => events.map((event) => Subscription.make(event))

const webhook = WebhookId.make("whk_01jmh2v3s8e5xt6dq4t9v0r1kz")
const at = (minute: number) => DateTime.unsafeMake(Date.UTC(2025, 1, 20, 9, minute))

const member = (change: Partial<Audience.Member> = {}): Audience.Member => ({
  id: webhook,
  name: null,
  url: "https://example.com/hook",
  events: wants(["deal.*"]),
  deactivationReason: null,
  createdAt: at(0),
  deletedAt: null,
  deactivatedAt: null,
  circuitUntil: null,
  healAt: null,
  delivery: null,
  ...change
})

const event = (eventType: string, change: Partial<Audience.Subject> = {}): Audience.Subject => ({
  eventType: EventTypeName.make(eventType),
  createdAt: at(30),
  deliveries: 2,
  about: null,
  ...change
})

const why = (subject: Audience.Subject, then: Audience.Wants, now = member()) => {
  const outcome = Audience.omissionOf(subject, now, then)
  return [outcome, Reasons.omission(outcome, subject, now, then)]
}

describe("audience", () => {
  it.prop(
    "what a webhook wanted is worked out from what it wants and the changes since, however many",
    { start: Start, changes: Schema.Array(Change) },
    ({ changes, start }) => {
      const wanted: Audience.Wants = { events: wants(start.events), deactivationReason: start.deactivationReason }
      const { log, now } = replay(wanted, changes)
      assert.deepStrictEqual(Audience.before(now, log), wanted)
    }
  )

  it.prop(
    "the oldest change of each fact says as much as all of them",
    { start: Start, changes: Schema.Array(Change) },
    ({ changes, start }) => {
      const { log, now } = replay({ ...start, events: wants(start.events) }, changes)
      const oldest = log.filter((entry, i) =>
        (["events", "deactivationReason"] as const).some((fact) =>
          fact in entry && log.findIndex((other) => fact in other) === i
        )
      )
      assert.deepStrictEqual(Audience.before(now, oldest), Audience.before(now, log))
    }
  )

  it("says what a webhook did not ask for, and whether it does now", () => {
    const then = { events: wants(["lead.created", "deal.lost"]), deactivationReason: null }
    assert.deepStrictEqual(why(event("deal.won"), then), [
      "not_subscribed",
      "It asked for lead.created, deal.lost then, and deal.won is none of them; it asks for it now."
    ])
    const seven = { ...then, events: wants(["a", "b", "c", "d", "e", "f", "g"]) }
    assert.include(why(event("lead.won"), seven)[1], "a, b, c, d, e and 2 more")
  })

  it("a webhook that its owner had switched off matched nothing; one that was switched off for failures did", () => {
    const off = member({ deactivationReason: "owner" })
    assert.deepStrictEqual(why(event("deal.won"), off), [
      "switched_off",
      "Its owner had switched it off then; it is on again now."
    ])
    for (const reason of ["failures", "gone"] as const) {
      assert.strictEqual(why(event("deal.won"), member({ deactivationReason: reason }))[0], "changed_meanwhile")
    }
  })

  it("a webhook that came later could not have it, whatever it wants", () => {
    const [outcome, reason] = why(event("deal.won"), member(), member({ createdAt: at(31) }))
    assert.strictEqual(outcome, "created_later")
    assert.include(reason, "2025-02-20T09:31:00.000Z")
  })

  it("notices have to be asked for by name or prefix, and nobody is told of itself", () => {
    const all = member({ events: wants(["*"]) })
    const notices = member({ events: wants(["webhook.*", "alert.raised"]) })
    assert.strictEqual(why(event("webhook.deactivated"), all)[0], "not_subscribed")
    assert.strictEqual(why(event("webhook.deactivated", { about: webhook }), notices)[0], "about_itself")
    assert.strictEqual(why(event("alert.raised", { about: webhook }), notices)[0], "about_itself")
    assert.strictEqual(why(event("alert.raised"), notices)[0], "changed_meanwhile")
  })

  it("a test goes to one webhook, whatever the others want", () => {
    assert.strictEqual(why(event("webhook.test"), member({ events: wants(["webhook.*"]) }))[0], "not_addressed")
    assert.strictEqual(why(event("deal.won", { deliveries: 1 }), member())[0], "not_addressed")
  })
})
