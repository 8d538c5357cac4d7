import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import type * as Ids from "../../src/domain/Ids.ts"
import { DeliveryStore } from "../../src/persistence/DeliveryStore.ts"
import * as Endpoints from "../support/Endpoints.ts"
import { passTime } from "../support/PassTime.ts"
import * as Stores from "../support/Stores.ts"

layer(Endpoints.layer, Stores.options)("A circuit that closes", (it) => {
  const close = (client: Ids.ClientId, id: Ids.WebhookId) =>
    Effect.gen(function*() {
      yield* Endpoints.open(client, id)
      yield* passTime(client, 30)
      yield* Endpoints.succeed(yield* Endpoints.claim(id))
      assert.deepInclude(yield* Endpoints.circuitOf(id), {
        circuit: "closed",
        openings: 1,
        ramp: 1,
        seconds: null,
        failures: 0
      })
    })

  it.effect("lets out 1, 2, 4, … 64 at once, then all, and forgets that it was open", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("ramp")
      yield* close(client, id)
      assert.lengthOf((yield* Endpoints.publish(client, 300)).leased, 0, "its backlog comes first")
      const sizes: Array<number> = []
      for (let i = 0; i < 8; i++) {
        const batch = yield* Endpoints.claim(id, 100)
        sizes.push(batch.length)
        assert.lengthOf(yield* Endpoints.claim(id), i < 7 ? 0 : 77)
        yield* Endpoints.succeed(batch)
      }
      assert.deepStrictEqual(sizes, [1, 2, 4, 8, 16, 32, 64, 100])
      assert.deepInclude(yield* Endpoints.circuitOf(id), { circuit: "closed", openings: 0, ramp: null })
    }))

  it.effect("fills what its ramp allows as attempts end, and halves it at a failure", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("halved")
      yield* close(client, id)
      yield* Endpoints.publish(client, 50)
      for (const size of [1, 2, 4]) yield* Effect.flatMap(Endpoints.claim(id, size), Endpoints.succeed)
      const [first, ...others] = yield* Endpoints.claim(id)
      assert(first)
      yield* Endpoints.succeed([first])
      assert.lengthOf(yield* Endpoints.claim(id), 1, "seven of eight are under way")
      yield* Endpoints.fail(others.slice(0, 1))
      assert.deepInclude(yield* Endpoints.circuitOf(id), { ramp: 4 })
      assert.lengthOf(yield* Endpoints.claim(id), 0, "still seven, and it allows four")
      yield* Endpoints.succeed(others.slice(1, 4))
      assert.lengthOf(yield* Endpoints.claim(id), 0)
      yield* Endpoints.succeed(others.slice(4, 5))
      assert.lengthOf(yield* Endpoints.claim(id), 5)
    }))

  it.effect("never allows two that ask at once more than one of them", () =>
    Effect.gen(function*() {
      const { client, id } = yield* Endpoints.begin("at once")
      yield* close(client, id)
      for (let round = 0; round < 20; round++) {
        const claims = yield* Effect.replicateEffect(Endpoints.claim(id), 8, { concurrency: 8 })
        assert.isAtMost(claims.flat().length, 1)
        yield* Effect.flatMap(DeliveryStore, (store) => store.release(claims.flat()))
      }
    }))
})
