import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck } from "effect"
import { type Json, JsonFloat, JsonValue, parse } from "../../src/domain/Json.ts"
import { stringify } from "../../src/signing/CanonicalJson.ts"
import vectors from "./vectors.json" with { type: "json" }

const rewrite = (text: string): string => stringify(Either.getOrThrowWith(parse(text), (error) => error))

const codePoints = (text: string): ReadonlyArray<number> =>
  Array.from(text, (character) => character.codePointAt(0) ?? 0)

const compare = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  const i = a.findIndex((codePoint, index) => codePoint !== b[index])
  return i < 0 ? a.length - b.length : (a[i] ?? 0) - (b[i] ?? -1)
}

const lengthsByName = (names: ReadonlyArray<string>): Json =>
  Object.fromEntries(names.map((name) => [name, name.length]))

describe("CanonicalJson", () => {
  it("writes what Python wrote", () => {
    assert.isAbove(vectors.vectors.length, 450)
    for (const { canonical, text } of vectors.vectors) assert.strictEqual(rewrite(text), canonical)
  })

  it("spells floats as Python's repr", () => {
    const spelled: ReadonlyArray<readonly [string, string]> = [
      ["1000.00", "1000.0"],
      ["1e-7", "1e-07"],
      ["1e21", "1e+21"],
      ["1e16", "1e+16"],
      ["123456789012345.0", "123456789012345.0"],
      ["-0.0", "-0.0"],
      ["-0", "0"],
      ["5e-324", "5e-324"],
      ["0.0001", "0.0001"],
      ["0.00001", "1e-05"],
      ["12345678901234567890.0", "1.2345678901234567e+19"],
      ["9007199254740993", "9007199254740993"]
    ]
    for (const [text, canonical] of spelled) assert.strictEqual(rewrite(text), canonical)
  })

  it("escapes all but printable ASCII, DEL too", () => {
    assert.strictEqual(
      stringify("é\u007f\u0000\n\"\\/ 😀\ud800"),
      String.raw`"\u00e9\u007f\u0000\n\"\\/ \ud83d\ude00\ud800"`
    )
  })

  it("writes plain objects and numbers of any size", () => {
    assert.strictEqual(
      stringify({ b: [], a: {}, c: [1, "x", null, true] }),
      `{"a": {}, "b": [], "c": [1, "x", null, true]}`
    )
    assert.strictEqual(stringify([-0, 1e21, 2 ** 60]), "[0, 1e+21, 1152921504606847000]")
  })

  it.prop("is ASCII, and stable under its own reading", [JsonValue], ([json]) => {
    const text = stringify(json)
    assert.match(text, /^[ -~]*$/)
    assert.strictEqual(rewrite(text), text)
  })

  it.prop(
    "is the same for every order of keys",
    [FastCheck.uniqueArray(FastCheck.string({ unit: "binary" }))],
    ([keys]) => {
      assert.strictEqual(stringify(lengthsByName(keys.toReversed())), stringify(lengthsByName(keys)))
    }
  )

  const unit = FastCheck.constantFrom(
    0x61,
    0x7a,
    0xd7ff,
    0xd800,
    0xd83d,
    0xdbff,
    0xdc00,
    0xde00,
    0xdfff,
    0xe000,
    0xffff
  )
  const key = FastCheck.array(unit, { maxLength: 4 }).map((units) => String.fromCharCode(...units))

  it.prop("sorts keys by code point, lone surrogates included", [FastCheck.uniqueArray(key)], ([keys]) => {
    const expected = keys.toSorted((a, b) => compare(codePoints(a), codePoints(b)))
    const text = stringify(Object.fromEntries(keys.map((name) => [name, 0])))
    assert.strictEqual(text, `{${expected.map((name) => `${stringify(name)}: 0`).join(", ")}}`)
  }, { fastCheck: { numRuns: 2000 } })

  it("puts a key before those that it begins, NUL following too", () => {
    const names = ["😀", "😀\u0000", "😀\u0000\u0000", "😀a", "😀😀"]
    for (const order of [names, names.toReversed()]) {
      assert.strictEqual(
        stringify(lengthsByName(order)),
        String.raw`{"\ud83d\ude00": 2, "\ud83d\ude00\u0000": 3, "\ud83d\ude00\u0000\u0000": 4, ` +
          String.raw`"\ud83d\ude00a": 3, "\ud83d\ude00\ud83d\ude00": 4}`
      )
    }
  })

  it.prop("reads back as the same number", [FastCheck.double({ noNaN: true, noDefaultInfinity: true })], ([value]) => {
    const text = stringify(new JsonFloat(value))
    assert.isTrue(Object.is(Number(text), value))
    assert.match(text, /[.e]/)
  })
})
