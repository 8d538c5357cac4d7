import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { DeliveryHistory } from "../../src/persistence/DeliveryHistory.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import * as Endpoints from "../support/Endpoints.ts"
import { passTime } from "../support/PassTime.ts"
import * as Stores from "../support/Stores.ts"

const { everyone } = Stores

layer(Endpoints.layer, Stores.options)("An open circuit", (it) => {
  it.effect("sends nothing: it is neither claimed nor leased, and what waits spends no attempts", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("waits")
      yield* Endpoints.open(client, id)
      assert.strictEqual((yield* Endpoints.circuitOf(id))?.["seconds"], 30)
      const { circuitOpen, leased, waiting } = yield* Endpoints.publish(client, 2)
      assert.deepStrictEqual([circuitOpen, leased, waiting], [[id, id], [], []])
      yield* passTime(client, 29)
      assert.lengthOf(yield* Endpoints.claim(id), 0)
      const store = yield* DeliveryStore
      assert.notInclude((yield* store.dueWebhooks(null)).webhooks, id)
      const deliveries = yield* Endpoints.deliveriesOf(id)
      assert.deepStrictEqual(deliveries.map(({ attemptCount }) => attemptCount), [0, 0, 1, 1, 1, 1, 1])
      assert.deepStrictEqual([...new Set(deliveries.map(({ hold }) => hold))], ["circuit"])
    }))

  it.effect("counts nothing of what ends while it is open, and waits no longer for it", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("stragglers")
      const { leased } = yield* Endpoints.publish(client, 7)
      yield* Endpoints.fail(leased.slice(0, 5))
      yield* passTime(client, 10)
      yield* Endpoints.fail(leased.slice(5, 6))
      yield* Endpoints.succeed(leased.slice(6))
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "open", openings: 1, seconds: 20 })
    }))

  it.effect("lets one delivery try when its pause is over, to one of all who ask at once", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("probe")
      yield* Endpoints.open(client, id)
      yield* passTime(client, 30)
      const claims = yield* Effect.replicateEffect(Endpoints.claim(id), 8, { concurrency: 8 })
      const probes = claims.flat()
      assert.deepStrictEqual(probes.map(({ probe }) => probe), [true])
      assert.strictEqual(probes[0]?.id, (yield* Endpoints.deliveriesOf(id)).at(-1)?.id, "its oldest")
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "half_open", seconds: 40 })
      assert.lengthOf((yield* Endpoints.publish(client, 1)).leased, 0)
      const holds = (yield* Endpoints.deliveriesOf(id)).map(({ hold }) => hold)
      assert.deepStrictEqual(holds, ["circuit", "circuit", "circuit", "circuit", "circuit", null])
    }))

  it.effect("is not half open while it has nothing to try with", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("nothing due")
      yield* Endpoints.open(client, id)
      yield* Effect.flatMap(SqlClient.SqlClient, (sql) =>
        sql`UPDATE webhooks SET circuit_until = now() WHERE client_id = ${client}`)
      assert.lengthOf(yield* Endpoints.claim(id), 0, "their delays are not over")
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "open" })
      assert.lengthOf((yield* Endpoints.publish(client, 1)).leased, 0)
      assert.deepStrictEqual(
        (yield* Endpoints.claim(id)).map(({ probe }) =>
          probe
        ),
        [true]
      )
    }))

  it.effect("tries with another when the node with its probe died", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("died")
      yield* Endpoints.open(client, id)
      yield* passTime(client, 30)
      const [first] = yield* Endpoints.claim(id)
      yield* passTime(client, 29)
      assert.lengthOf(yield* Endpoints.claim(id), 0)
      yield* passTime(client, 2)
      assert.strictEqual((yield* Effect.flatMap(DeliveryStore, (store) => store.reclaimExpired)).ended, 1)
      yield* passTime(client, 9)
      const [second, ...others] = yield* Endpoints.claim(id)
      assert.isTrue(second?.probe)
      assert.notStrictEqual(second?.id, first?.id, "what may have ended that node is not the next")
      assert.lengthOf(others, 0)
      yield* Endpoints.fail(first === undefined ? [] : [first])
      assert.deepInclude(
        yield* Endpoints.circuitOf(id),
        { circuit: "half_open", openings: 1 },
        "whose outcome is refused"
      )
    }))

  it.effect("doubles its pause when the probe fails, which is not charged and stays the first", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("fails again", { retryCount: 2 })
      yield* Endpoints.open(client, id)
      for (const [openings, seconds] of [[2, 60], [3, 120], [4, 240]] as const) {
        yield* passTime(client, 600)
        const [probe] = yield* Endpoints.claim(id)
        assert(probe)
        assert.deepInclude(probe, { probe: true, chargedCount: 1, attemptCount: openings - 1 })
        yield* Endpoints.fail([probe])
        assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "open", openings, seconds })
        const { hold, status } = (yield* Endpoints.deliveriesOf(id)).at(-1) ?? {}
        assert.deepStrictEqual({ hold, status }, { hold: "circuit", status: "failed_retryable" })
      }
    }))

  it.effect("stays half open after a probe that told nothing of the endpoint, until its time is over", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("tells nothing")
      yield* Endpoints.open(client, id)
      yield* passTime(client, 30)
      yield* Endpoints.fail(yield* Endpoints.claim(id), Endpoints.refused("local_resource"))
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "half_open", openings: 1, seconds: 40 })
      assert.lengthOf(yield* Endpoints.claim(id), 0)
      yield* passTime(client, 40)
      assert.lengthOf(yield* Endpoints.claim(id), 1)
    }))

  it.effect("is closed or opened again by its probe alone, whatever comes of attempts that began before it opened", () =>
    Effect.gen(function*() {
      for (const closes of [true, false]) {
        const { client, id } = yield* Endpoints.begin(`probe-${closes}`)
        const { leased: [first, second, third, ...failed] } = yield* Endpoints.publish(client, 8)
        assert(first && second && third)
        yield* Endpoints.fail(failed)
        yield* passTime(client, 30)
        const probe = yield* Endpoints.claim(id)
        yield* Endpoints.succeed([first])
        assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "half_open", openings: 1, seconds: 40 })
        yield* Endpoints.fail([second])
        assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "half_open", openings: 1, seconds: 40 })
        const straggler = closes ? yield* Endpoints.failed(third) : yield* Endpoints.succeeded(third)
        const own = yield* Effect.forEach(probe, closes ? Endpoints.succeeded : Endpoints.failed)
        yield* Endpoints.record([...own, straggler])
        assert.deepInclude(
          yield* Endpoints.circuitOf(id),
          closes ? { circuit: "closed", openings: 1, ramp: 1 } : { circuit: "open", openings: 2, seconds: 60 }
        )
      }
    }))

  it.effect("is not decided on by a probe whose time was over, once another one is under way", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("late probe")
      yield* Endpoints.open(client, id)
      yield* passTime(client, 30)
      const late = yield* Endpoints.claim(id)
      yield* passTime(client, 40)
      const present = yield* Endpoints.claim(id)
      assert.deepStrictEqual([...late, ...present].map(({ probe }) => probe), [true, true])
      yield* Endpoints.fail(late)
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "half_open", openings: 1 })
      yield* Endpoints.succeed(present)
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "closed", openings: 1, ramp: 1 })
    }))

  it.effect("tries now when one of its deliveries is sent again by hand", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("by hand")
      yield* Endpoints.open(client, id)
      const deliveries = yield* Endpoints.deliveriesOf(id)
      const wanted = deliveries[0]
      assert(wanted)
      const history = yield* DeliveryHistory
      assert.isTrue(Option.getOrThrow(yield* history.requeue(everyone, wanted.id)).requeued)
      assert.deepStrictEqual((yield* Endpoints.claim(id)).map(({ id, probe }) => ({ id, probe })), [{
        id: wanted.id,
        probe: true
      }])
      const other = deliveries[1]
      assert(other)
      yield* history.requeue(everyone, other.id)
      assert.lengthOf(yield* Endpoints.claim(id), 0, "while a probe is under way it is the only one")
    }))
})
