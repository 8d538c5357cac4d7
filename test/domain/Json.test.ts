import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck } from "effect"
import * as Json from "../../src/domain/Json.ts"
import { stringify } from "../../src/signing/CanonicalJson.ts"

const read = (text: string): Json.Json => Either.getOrThrowWith(Json.parse(text), (error) => error)

const refusal = (text: string, options?: { readonly maxDepth?: number }): Json.JsonError => {
  const result = Json.parse(text, options)
  return Either.isLeft(result) ? result.left : assert.fail(`${text.slice(0, 40)} was read`)
}

const record = (entries: Record<string, Json.Json>): Json.JsonObject => Object.assign(Object.create(null), entries)

/** Texts of JSON with spacing and escapes as publishers write them, not as we do. */
const loosely = (value: unknown): string => JSON.stringify(value, null, "\t ")

const sorted = (value: unknown): string => stringify(Either.getOrThrow(Json.fromUnknown(value)))

describe("numbers", () => {
  it("keeps integers and floats apart as Python does", () => {
    assert.strictEqual(read("1000"), 1000)
    assert.deepStrictEqual(read("1000.00"), new Json.JsonFloat(1000))
    assert.deepStrictEqual(read("1e21"), new Json.JsonFloat(1e21))
    assert.deepStrictEqual(read("10E-1"), new Json.JsonFloat(1))
    assert.deepStrictEqual(read("-0.0"), new Json.JsonFloat(-0))
    assert.strictEqual(read("0.5"), 0.5)
    assert.isTrue(Object.is(read("-0"), 0))
  })

  it("keeps every digit of an integer", () => {
    assert.strictEqual(read("9007199254740991"), 9007199254740991)
    assert.strictEqual(read("9007199254740993"), 9007199254740993n)
    assert.strictEqual(read("-9007199254740992"), -9007199254740992n)
    assert.strictEqual(read("1".repeat(4300)), BigInt("1".repeat(4300)))
  })

  it("refuses what no reader could hold", () => {
    for (const text of ["1e400", "-1e309", "1".repeat(4301), `[${"-1".padEnd(4302, "0")}]`]) {
      assert.strictEqual(refusal(text).code, "json_number_range")
    }
    assert.include(refusal("1".repeat(4301)).message, "expected at most 4300 digits, found 4301")
    assert.include(refusal("[1e400]").message, "at line 1, column 2")
  })

  it("refuses numbers that RFC 8259 does not know", () => {
    for (
      const text of [
        "01",
        "-01",
        "00",
        "+1",
        ".5",
        "1.",
        "1.e5",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x10",
        "1_000",
        "NaN",
        "-Infinity"
      ]
    ) {
      assert.strictEqual(refusal(text).code, "json_syntax", text)
    }
  })
})

describe("strings", () => {
  it("reads every escape", () => {
    assert.strictEqual(read(String.raw`"\"\\\/\b\f\n\r\t\u00e9\u00E9 x"`), "\"\\/\b\f\n\r\téé x")
    assert.strictEqual(read(String.raw`"\ud83d\ude00"`), "😀")
  })

  it("keeps lone surrogates and NUL", () => {
    assert.strictEqual(read(String.raw`"\ud800"`), "\ud800")
    assert.strictEqual(read(String.raw`"a\u0000b"`), "a\u0000b")
  })

  it("refuses raw control characters, unknown escapes and open ends", () => {
    const texts = [
      "\"a\nb\"",
      "\"\u0000\"",
      "\"\u001f\"",
      "\"abc",
      "\"abc\\",
      "\"\\",
      "\"\\x41\"",
      "\"\\u12\"",
      "\"\\u12g4\"",
      "\"\\U0041\"",
      "'a'"
    ]
    for (const text of texts) assert.strictEqual(refusal(text).code, "json_syntax", text)
  })
})

describe("objects and arrays", () => {
  it("treats __proto__ and constructor as ordinary keys", () => {
    const json = read(`{"__proto__": {"polluted": 1}, "constructor": 2}`)
    assert.isNull(Object.getPrototypeOf(json))
    assert.deepStrictEqual(Object.keys(Object(json)), ["__proto__", "constructor"])
    assert.isUndefined(Reflect.get({}, "polluted"))
    assert.strictEqual(refusal(`{"__proto__": 1, "__proto__": 2}`).code, "json_duplicate_key")
  })

  it("reads empty and nested values among white space", () => {
    assert.deepStrictEqual(read(" \t\r\n[ ] "), [])
    assert.deepStrictEqual(read("{ }"), record({}))
    assert.deepStrictEqual(
      read(`{ "a" : [ 1 , { "b" : null } , true,false ] }`),
      record({ a: [1, record({ b: null }), true, false] })
    )
  })

  it("refuses repeated keys, and says which", () => {
    const error = refusal(`{"a": 1,\n "b": {"a": 1}, "\\u0061": 2}`)
    assert.strictEqual(error.code, "json_duplicate_key")
    assert.strictEqual(error.message, `expected each key once, found "a" again, at line 2, column 17`)
    assert.deepStrictEqual(error.position, { offset: 25, line: 2, column: 17 })
  })

  it("refuses stray commas, colons, brackets and ends", () => {
    const texts = [
      "",
      " ",
      "[1,]",
      "[,1]",
      "[1 2]",
      "[",
      "[1",
      "{",
      "}",
      "]",
      "[1}",
      "{\"a\":1,}",
      "{,}",
      "{\"a\"}",
      "{\"a\":}",
      "{\"a\" 1}",
      "{\"a\":1",
      "{a:1}",
      "{1:1}",
      "{\"a\":1 \"b\":2}",
      "1 2",
      "[] []",
      "tru",
      "True",
      "nulll",
      "// x",
      "[1]\u00a0",
      "\u000b1"
    ]
    for (const text of texts) assert.strictEqual(refusal(text).code, "json_syntax", text)
  })

  it("says what was expected, what was found, and where", () => {
    assert.strictEqual(
      refusal("{\n  \"a\": 1\n  \"b\": 2\n}").message,
      "expected ',' or '}' after the member, found '\"', at line 3, column 3"
    )
    assert.strictEqual(
      refusal("[1, 2").message,
      "expected ',' or ']' after the item, found the end of the text, at line 1, column 6"
    )
    assert.strictEqual(
      refusal("\ufeff{}").message,
      "expected a JSON value, found U+FEFF (a byte order mark), at line 1, column 1"
    )
    assert.include(refusal("\"a\tb\"").message, "found U+0009, at line 1, column 3")
  })

  it("bounds depth without exhausting the stack", () => {
    assert.isTrue(Either.isRight(Json.parse("[".repeat(Json.depthMax) + "]".repeat(Json.depthMax))))
    assert.strictEqual(refusal("[".repeat(Json.depthMax + 1)).code, "json_depth")
    assert.strictEqual(refusal("{\"a\":".repeat(10_000)).code, "json_depth")
    assert.strictEqual(refusal("[".repeat(1_000_000), { maxDepth: Infinity }).code, "json_depth")
    assert.strictEqual(refusal("[[1]]", { maxDepth: 1 }).code, "json_depth")
    assert.deepStrictEqual(read("[[],[],[]]"), [[], [], []])
    assert.isTrue(Either.isRight(Json.parse(`[${"[],".repeat(1000)}[]]`, { maxDepth: 2 })))
  })

  it("reads a megabyte of keys in time that grows with its length", () => {
    const text = `{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":${i}`).join(",")}}`
    const start = performance.now()
    const json = read(text)
    assert.isBelow(performance.now() - start, 2000)
    assert.lengthOf(Object.keys(Object(json)), 100_000)
  })
})

describe("parse", () => {
  it.prop("reads back whatever was written", [Json.JsonValue], ([json]) => {
    assert.deepStrictEqual(read(stringify(json)), json)
  })

  it.prop("agrees with JSON.parse on plain values", [FastCheck.jsonValue()], ([value]) => {
    const text = loosely(value)
    assert.strictEqual(sorted(JSON.parse(stringify(read(text)))), sorted(JSON.parse(text)))
  })

  it.prop("accepts no text that JSON.parse refuses", [
    Json.JsonValue,
    FastCheck.nat(),
    FastCheck.string({ maxLength: 2 })
  ], ([json, at, noise]) => {
    const text = stringify(json)
    const cut = at % (text.length + 1)
    const broken = text.slice(0, cut) + noise + text.slice(cut + 1)
    const result = Json.parse(broken)
    const code = Either.isLeft(result) ? result.left.code : "read"
    const theirs = Either.try(() => JSON.parse(broken))
    if (code === "read") assert.isTrue(Either.isRight(theirs))
    if (code === "json_syntax") assert.isTrue(Either.isLeft(theirs))
  })
})
