/** What can happen to deliveries, as commands for fast-check: each is done by the service and by the model, which agree. */
import { assert } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { randomUUID } from "node:crypto"
import type { ClaimedDelivery } from "../../src/persistence/Claim.ts"
import * as Model from "./Model.ts"
import { published } from "./Published.ts"
import type { Answer, Asked, Step } from "./Service.ts"
import * as Snapshot from "./Snapshot.ts"

export type Service = (asked: Asked) => Promise<Answer>
type Command = fc.AsyncCommand<Model.Model, Service>

/** What is asked of the service, and what of the model when it has answered. */
interface Act {
  readonly step: Step
  readonly settle: (answer: Answer) => void
}

/** Null from `act` where there is nothing to do it to. */
const command = (name: string, act: (model: Model.Model) => Act | null): Command => ({
  check: (model) => act(model) !== null,
  run: async (model, service) => {
    const wanted = act(model)
    if (wanted === null) return
    model.turn++
    const answer = await service({ clientId: model.clientId, step: wanted.step })
    wanted.settle(answer)
    Snapshot.agree(model, answer.snapshot)
  },
  toString: () => name
})

const choose = <A>(from: ReadonlyArray<A>, which: number): A | undefined => from[which % Math.max(from.length, 1)]

/** Each once, in the order in which they were chosen. */
const chooseSome = <A>(from: ReadonlyArray<A>, which: ReadonlyArray<number>): ReadonlyArray<A> =>
  Array.from(new Set(which.flatMap((one) => choose(from, one) ?? [])))

const which = fc.nat(99)
const webhook = fc.nat(2)
const someWebhooks = fc.uniqueArray(webhook, { minLength: 1, maxLength: 3 })

const publish = fc.record({
  type: fc.constantFrom("deal.won", "deal.won", "lead.new"),
  events: fc.integer({ min: 1, max: 6 }),
  lease: fc.option(
    fc.record({
      most: fc.integer({ min: 1, max: 12 }),
      mostPerWebhook: fc.integer({ min: 1, max: 6 }),
      limited: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: someWebhooks }),
      mostOfLimited: fc.integer({ min: 0, max: 3 })
    }),
    { freq: 3 }
  ),
  node: fc.nat(1)
}).map(({ events, lease, node, type }) =>
  command(`publish(${events} ${type}, ${JSON.stringify(lease)})`, (model) => {
    const offer = lease === null ? null : {
      ...lease,
      token: randomUUID(),
      seconds: Model.leaseSeconds,
      limited: lease.limited.flatMap((i) => {
        const webhookId = model.webhooks[i]?.id
        return webhookId === undefined ? [] : [{ webhookId, most: lease.mostOfLimited }]
      })
    }
    const step = { _tag: "publish", type, events, lease: offer } as const
    return { step, settle: ({ stored }) => published(model, step, node, stored) }
  })
)

const facts = ({ attemptCount, chargedCount, id, probe }: ClaimedDelivery) => ({
  id,
  probe,
  attemptCount,
  chargedCount
})

const claim = fc.record({ node: fc.nat(1), webhooks: someWebhooks, most: fc.integer({ min: 1, max: 8 }) })
  .map(({ most, node, webhooks }) =>
    command(`claim(${most} of ${webhooks.join()})`, (model) => {
      const named = webhooks.flatMap((i) => model.webhooks[i] ?? [])
      const step = { _tag: "claim", most: named.map(({ id }) => ({ webhookId: id, most })) } as const
      return {
        step,
        settle: ({ claimed }) => {
          for (const webhook of named) {
            const { deliveries, probe } = Model.claim(model, webhook, most)
            const actual = claimed.filter(({ webhookId }) => webhookId === webhook.id)
            assert.deepStrictEqual(
              actual.map(facts),
              deliveries.map(({ charged, id, results }) => ({
                id,
                probe,
                attemptCount: results.length,
                chargedCount: charged
              }))
            )
            if (probe) webhook.probe = actual[0]?.leaseToken ?? null
            for (const delivery of actual) {
              model.handed.push({ node, delivery })
              const leased = model.deliveries.get(delivery.id)
              if (leased !== undefined) Model.lease(model, leased, delivery.leaseToken)
            }
          }
        }
      }
    })
  )

const inHand = (model: Model.Model, node: number): ReadonlyArray<ClaimedDelivery> =>
  model.handed.flatMap(({ delivery, node: at }) =>
    at === node && Model.standing(model, delivery) !== undefined ? [delivery] : []
  )

/** Of leases that ended, or under the name of somebody who never had one. */
const notInHand = (model: Model.Model, isForeign: boolean): ReadonlyArray<ClaimedDelivery> =>
  isForeign
    ? model.handed.map(({ delivery }) => ({ ...delivery, leaseToken: randomUUID() }))
    : model.handed.flatMap(({ delivery }) => Model.standing(model, delivery) === undefined ? [delivery] : [])

type Attempts = ReadonlyArray<{ readonly delivery: ClaimedDelivery; readonly result: Model.Result }>

const record = (model: Model.Model, attempts: Attempts): Act | null =>
  attempts.length === 0 ? null : {
    step: { _tag: "record", attempts },
    settle: ({ stood }) => {
      const seen = new Map<Model.Webhook, Array<Model.Seen>>()
      for (const { delivery: handed, result } of attempts) {
        const delivery = Model.standing(model, handed)
        assert.strictEqual(stood.has(handed.id), delivery !== undefined, "an outcome counts under its lease alone")
        if (delivery === undefined) continue
        Model.attempted(model, delivery, result, handed.probe)
        seen.set(delivery.webhook, [
          ...seen.get(delivery.webhook) ?? [],
          { leaseToken: handed.leaseToken, result }
        ])
      }
      for (const [webhook, all] of seen) Model.observed(model, webhook, all)
    }
  }

const result = fc.oneof(
  { weight: 6, arbitrary: fc.constant("retryable" as const) },
  { weight: 6, arbitrary: fc.constant("success" as const) },
  { weight: 1, arbitrary: fc.constantFrom(...Model.results) }
)

const recordSome = fc.record({
  node: fc.nat(1),
  some: fc.array(fc.record({ which, result }), { minLength: 1, maxLength: 6 })
}).map(({ node, some }) =>
  command(`record(node ${node}, ${some.map(({ result }) => result).join()})`, (model) => {
    const mine = inHand(model, node)
    const chosen = chooseSome(mine, some.map((one) => one.which))
    return record(model, chosen.map((delivery, i) => ({ delivery, result: some[i]?.result ?? "success" })))
  })
)

/** As when an endpoint is down, or back. */
const recordAll = fc.record({ node: fc.nat(1), result }).map(({ node, result }) =>
  command(
    `record(all of node ${node}, ${result})`,
    (model) => record(model, inHand(model, node).map((delivery) => ({ delivery, result })))
  )
)

const recordStale = fc.record({ isForeign: fc.boolean(), which, result }).map(({ isForeign, result, which }) =>
  command(`record(${isForeign ? "foreign" : "stale"}, ${result})`, (model) => {
    const delivery = choose(notInHand(model, isForeign), which)
    return delivery === undefined ? null : record(model, [{ delivery, result }])
  })
)

const leases = fc.record({
  tag: fc.constantFrom("release" as const, "prolong" as const),
  isForeign: fc.boolean(),
  whiches: fc.array(which, { minLength: 1 })
}).map(({ isForeign, tag, whiches }) =>
  command(`${tag}(${isForeign ? "foreign and stale" : "any"})`, (model) => {
    const from = isForeign
      ? notInHand(model, true).concat(notInHand(model, false))
      : model.handed.map(({ delivery }) => delivery)
    // Each delivery once, as a node names it.
    const named = Array.from(new Map(chooseSome(from, whiches).map((delivery) => [delivery.id, delivery])).values())
    if (named.length === 0) return null
    return {
      step: { _tag: tag, leases: named },
      settle: ({ stood }) => {
        for (const lease of named) {
          const delivery = Model.standing(model, lease)
          if (tag === "prolong") assert.strictEqual(stood.has(lease.id), delivery !== undefined)
          if (delivery === undefined) continue
          if (tag === "prolong") Model.lease(model, delivery, lease.leaseToken)
          else delivery.lease = null
        }
      }
    }
  })
)

const pass = fc.constantFrom(1, 1, 1, 2, 2, 4, 10, 31).map((ticks) =>
  command(`pass(${ticks * Model.tickSeconds} s)`, (model) => ({
    step: { _tag: "pass", seconds: ticks * Model.tickSeconds },
    settle: () => {
      model.now += ticks * Model.tickSeconds
    }
  }))
)

const reclaim = fc.constant(
  command("reclaim", (model) => ({ step: { _tag: "reclaim" }, settle: () => void Model.reclaim(model) }))
)

const retry = which.map((which) =>
  command("retry by hand", (model) => {
    const delivery = choose(Array.from(model.deliveries.values()), which)
    return delivery === undefined ? null : {
      step: { _tag: "retry", id: delivery.id },
      settle: ({ requeued }) => assert.strictEqual(requeued, Model.retryByHand(model, delivery))
    }
  })
)

/** Of the webhook's owner, or of those who watch over it. */
const onWebhook = (
  name: string,
  step: (webhook: Model.Webhook) => Step,
  settle: (webhook: Model.Webhook) => void
) =>
  webhook.map((i) =>
    command(`${name}(${i})`, (model) => {
      const webhook = model.webhooks[i]
      if (webhook === undefined) return null
      return { step: step(webhook), settle: () => webhook.isDeleted ? undefined : settle(webhook) }
    })
  )

const switchOff = onWebhook("switch off", ({ id }) => ({
  _tag: "change",
  id,
  change: { isActive: false, deactivationReason: "owner" }
}), (webhook) => {
  webhook.isActive = false
  webhook.reason = "owner"
})

const switchOn = onWebhook("switch on", ({ id }) => ({
  _tag: "change",
  id,
  change: { isActive: true, deactivationReason: null }
}), (webhook) => {
  if (!webhook.isActive) Model.beginAnew(webhook)
  webhook.isActive = true
  webhook.reason = null
})

const move = onWebhook("move", ({ id, url }) => ({ _tag: "change", id, change: { url: `${url}x` } }), (webhook) => {
  Model.beginAnew(webhook)
  webhook.url += "x"
})

const remove = onWebhook("remove", ({ id }) => ({ _tag: "remove", id }), (webhook) => {
  webhook.isDeleted = true
})

const deactivate = onWebhook("deactivate", ({ id }) => ({ _tag: "deactivate", id }), (webhook) => {
  if (webhook.isActive) webhook.reason = "failures"
  webhook.isActive = false
})

const reactivate = onWebhook("reactivate", ({ id }) => ({ _tag: "reactivate", id }), (webhook) => {
  if (webhook.reason !== "failures") return
  Model.beginAnew(webhook)
  webhook.isActive = true
  webhook.reason = null
})

const often = <A>(times: number, one: A): ReadonlyArray<A> => Array.from({ length: times }, () => one)

/** What moves deliveries on comes more often than what happens to a webhook once in its life. */
const all: ReadonlyArray<fc.Arbitrary<Command>> = [
  often(5, publish),
  often(6, claim),
  often(3, recordSome),
  often(6, recordAll),
  recordStale,
  often(2, leases),
  often(5, pass),
  reclaim,
  retry,
  often(2, fc.oneof(switchOff, switchOn, move, remove, deactivate, reactivate))
].flat()

export const sequences = (replayPath?: string) =>
  fc.commands([...all], { maxCommands: 40, size: "max", ...(replayPath === undefined ? {} : { replayPath }) })
