import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Either, FastCheck, Schema } from "effect"
import { Batch, batchMax, NewEvent, PublishedBatch, PublishedResource } from "../../src/api/EventsApi.ts"
import * as PublishBodies from "../../src/api/PublishBodies.ts"
import { Published } from "../../src/domain/Event.ts"
import * as Json from "../../src/domain/Json.ts"

const parse = (text: string): Json.Json => Either.getOrThrow(Json.parse(text))

const members: ReadonlyArray<readonly [name: string, values: ReadonlyArray<string>]> = [
  ["event_type", [`"deal.won"`, `"a"`, `"A B"`, `""`, `"a..b"`, `null`, `1`, `["a"]`, `"${"x".repeat(129)}"`]],
  ["payload", [`{}`, `{"a": {"b": [1, 1.0, null]}}`, `[]`, `null`, `"{}"`, `1.0`]],
  ["client_id", [`"default"`, `"a"`, `"a b"`, `""`, `null`, `1`]],
  ["occurred_at", [`"2025-02-20T09:34:00Z"`, `"2025-02-20"`, `"yesterday"`, `null`]],
  ["__proto__", [`{}`, `{"event_type": "a"}`]],
  ["more", [`1`]]
]

/** A member that is there or not, and mostly right. */
const member = ([name, values]: typeof members[number]) =>
  FastCheck.option(
    FastCheck.oneof(
      { weight: 3, arbitrary: FastCheck.constantFrom(...values.slice(0, 2)) },
      { weight: 1, arbitrary: FastCheck.constantFrom(...values) }
    ),
    { freq: name === "event_type" || name === "payload" ? 5 : 1 }
  ).map((value) => value === null ? [] : [`"${name}": ${value}`])

const body = FastCheck.tuple(...members.map(member)).map((found) => `{${found.flat().join(", ")}}`)

const anything = FastCheck.oneof(body, FastCheck.constantFrom("[]", "1", "null", `"a"`, "1.0"))

describe("bodies of requests that publish", () => {
  it.prop("what is read without the schema is what the schema reads", [anything], ([text]) => {
    const json = parse(text)
    const read = PublishBodies.readOne(json)
    if (read !== null) assert.deepStrictEqual(Schema.decodeUnknownEither(NewEvent)(json), Either.right(read))
  })

  it.prop("and so are many", [FastCheck.array(anything, { maxLength: 3 }), FastCheck.boolean()], ([texts, more]) => {
    const json = parse(`{"events": [${texts.join(", ")}]${more ? `, "more": 1` : ""}}`)
    const read = PublishBodies.readBatch(json)
    if (read !== null) assert.deepStrictEqual(Schema.decodeUnknownEither(Batch)(json), Either.right(read))
  })

  it("reads what nearly everybody sends, and leaves the rest to the schema", () => {
    const one = `{"event_type": "deal.won", "payload": {"id": 1}}`
    assert.isNotNull(PublishBodies.readOne(parse(one)))
    assert.isNotNull(PublishBodies.readOne(parse(`{"client_id": "a", "event_type": "deal.won", "payload": {}}`)))
    assert.isNull(PublishBodies.readOne(parse(`{"event_type": "a", "payload": {}, "occurred_at": "2025-02-20"}`)))
    const batch = (events: number) => parse(`{"events": [${Array.from({ length: events }, () => one).join(",")}]}`)
    assert.deepStrictEqual(PublishBodies.readBatch(batch(batchMax))?.events.length, batchMax)
    assert.isNull(PublishBodies.readBatch(batch(batchMax + 1)))
    assert.isNull(PublishBodies.readBatch(batch(0)))
  })

  it.prop("are written as the schema writes them", [FastCheck.array(Arbitrary.make(Published))], ([data]) => {
    for (const one of data) {
      assert.strictEqual(PublishBodies.writeOne(one), JSON.stringify(Schema.encodeSync(PublishedResource)(one)))
    }
    assert.strictEqual(PublishBodies.writeBatch({ data }), JSON.stringify(Schema.encodeSync(PublishedBatch)({ data })))
  })
})
