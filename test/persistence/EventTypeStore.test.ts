import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { EventTypeName } from "../../src/domain/EventType.ts"
import type * as Json from "../../src/domain/Json.ts"
import { EventTypeStore } from "../../src/persistence/EventTypeStore.ts"
import { stringify } from "../../src/signing/CanonicalJson.ts"
import * as Stores from "../support/Stores.ts"

const name = (text: string) => EventTypeName.make(text)

const put = (text: string, sensitivePaths: ReadonlyArray<string> = [], example: string | null = null) =>
  Effect.flatMap(
    EventTypeStore,
    (store) => store.put({ name: name(text), description: "d", example, schema: null, sensitivePaths })
  )

layer(Stores.layer, Stores.options)("EventTypeStore", (it) => {
  it.effect("begins with the catalogue of the CRM, sorted by name", () =>
    Effect.gen(function*() {
      const all = yield* Effect.flatMap(EventTypeStore, (store) => store.list)
      const names = all.map((entry) => entry.name)
      assert.includeMembers(names, [name("deal.won"), name("lead.created"), name("pagamento.concluido")])
      assert.deepStrictEqual(names, names.toSorted())
    }))

  it.effect("creates an entry, and replaces all that it said", () =>
    Effect.gen(function*() {
      const { after: first, before: nothing } = yield* put(
        "order.paid",
        ["card.number"],
        `{"n": 1000.00, "big": 123456789012345678901}`
      )
      assert.isTrue(Option.isNone(nothing))
      assert.isNotNull(first.example)
      const json: Json.Json = first.example
      assert.strictEqual(stringify(json), `{"big": 123456789012345678901, "n": 1000.0}`)
      const { after: second, before } = yield* put("order.paid")
      assert.deepStrictEqual(before, Option.some(first))
      assert.deepInclude(second, { example: null, sensitivePaths: [] })
      assert.deepStrictEqual(second.createdAt, first.createdAt)
      assert.isTrue(second.updatedAt.epochMillis >= first.updatedAt.epochMillis)
      const all = yield* Effect.flatMap(EventTypeStore, (store) => store.list)
      assert.lengthOf(all.filter((entry) => entry.name === "order.paid"), 1)
    }))

  it.effect("removes an entry once", () =>
    Effect.gen(function*() {
      const store = yield* EventTypeStore
      yield* put("order.gone")
      assert.strictEqual(Option.getOrThrow(yield* store.remove(name("order.gone"))).name, "order.gone")
      assert.isTrue(Option.isNone(yield* store.remove(name("order.gone"))))
      assert.isFalse((yield* store.list).some((entry) => entry.name === "order.gone"))
    }))

  it.effect("answers the sensitive paths of the types that have any", () =>
    Effect.gen(function*() {
      yield* put("person.added", ["email", "address.*"])
      yield* put("person.removed")
      const { sensitivePaths } = yield* EventTypeStore
      const paths = yield* sensitivePaths
      assert.deepStrictEqual(paths.get(name("person.added")), ["email", "address.*"])
      assert.isFalse(paths.has(name("person.removed")))
      assert.isFalse(paths.has(name("deal.won")))
      yield* put("person.added")
      assert.isFalse((yield* sensitivePaths).has(name("person.added")))
    }))
})
