import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Json from "../../src/domain/Json.ts"
import { filter, isSensitiveKey, redacted } from "../../src/domain/SensitiveData.ts"

const names = [
  ["password"],
  ["passwd"],
  ["pwd"],
  ["passphrase"],
  ["senha"],
  ["token"],
  ["secret"],
  ["authorization"],
  ["cvv"],
  ["cvc"],
  ["cpf"],
  ["ssn"],
  ["api", "key"],
  ["card", "number"],
  ["private", "key"]
]

const capital = (word: string) => word.slice(0, 1).toUpperCase() + word.slice(1)
const spellings: ReadonlyArray<(words: ReadonlyArray<string>) => string> = [
  (words) => words.map((word, i) => i === 0 ? word : capital(word)).join(""),
  (words) => words.map(capital).join(""),
  (words) => words.join("_"),
  (words) => words.join("-"),
  (words) => words.join(" "),
  (words) => words.join(".").toUpperCase(),
  (words) => words.join("_").toUpperCase(),
  (words) => words.map(capital).join("-")
]

const innocent = FastCheck.constantFrom("customer", "id", "Total", "7", "números")
const sensitive = FastCheck.constantFrom(...names)
const spelling = FastCheck.constantFrom(...spellings)
const sensitiveKey = FastCheck.tuple(FastCheck.array(innocent, { maxLength: 2 }), sensitive, spelling).map((
  [before, name, spell]
) => spell([...before, ...name]))

/** Objects and arrays around a value. */
const around = (value: Json.Json, path: ReadonlyArray<string>): Json.Json =>
  path.reduceRight<Json.Json>((inner, step) => step === "[]" ? [1, inner] : { id: 7, [step]: inner }, value)

/** Every member of every object, with its key. */
const members = (json: Json.Json): Array<[string, Json.Json]> => {
  if (Array.isArray(json)) return json.flatMap((item: Json.Json) => members(item))
  if (typeof json !== "object" || json === null || json instanceof Json.JsonFloat) return []
  const own = Object.entries(json)
  return own.concat(own.flatMap(([, value]) => members(value)))
}

/** What is sensitive is renamed, so that nothing in it is. */
const harmless = (json: Json.Json): Json.Json => {
  if (Array.isArray(json)) return json.map((item: Json.Json) => harmless(item))
  if (typeof json !== "object" || json === null || json instanceof Json.JsonFloat) return json
  const copy: Record<string, Json.Json> = Object.create(null)
  for (const [key, value] of Object.entries(json)) copy[isSensitiveKey(key) ? "renamed" : key] = harmless(value)
  return copy
}

describe("a sensitive key", () => {
  it.prop("is recognised in every spelling, alone and among other words", [sensitiveKey], ([key]) => {
    assert.isTrue(isSensitiveKey(key), key)
  })

  it("is recognised behind an acronym, before one, and written as one word", () => {
    const keys = [
      "JWTToken",
      "APISecret",
      "CPFNumber",
      "userAPIKey",
      "XApiKey",
      "X-API-Key",
      "apikey",
      "APIKEY",
      "myCPF"
    ]
    for (const key of [...keys, "cardnumber", "privatekey", "token2", "accessToken", "client_secret", "🔑token"]) {
      assert.strictEqual(isSensitiveKey(key), key !== "token2", key)
    }
  })

  it("is recognised in letters of another width, with marks that nobody sees, and once its parts are put together", () => {
    for (const key of ["ｔｏｋｅｎ", "to\u200Bken", "pass_word", "PassWord", "pass word", "C.P.F.", "c_v_v", "cvv2"]) {
      assert.isTrue(isSensitiveKey(key), key)
    }
  })

  it("is a whole word: what only contains one is left alone", () => {
    const words = [
      "tokenizer",
      "secretary",
      "secretária",
      "secreta\u0301ria",
      "Secretário",
      "passwordless",
      "tokenização"
    ]
    for (const word of [...words, "monkey", "key", "card", "number", "api", "keyApi", "cpfl", "", "_"]) {
      assert.isFalse(isSensitiveKey(word), word)
    }
  })
})

describe("SensitiveData.filter", () => {
  const path = FastCheck.array(FastCheck.constantFrom("customer", "items", "[]"), { maxLength: 8 })
  const something = FastCheck.constantFrom<Json.Json>("x", 0, false, 12n, [], { deep: { token: 1 } }, Json.float(1))

  it.prop("hides the value of a sensitive key at any depth", [sensitiveKey, path, something], ([key, steps, value]) => {
    assert.deepStrictEqual(plain(filter(around({ [key]: value }, steps))), plain(around({ [key]: redacted }, steps)))
  })

  it.prop("leaves no value under a sensitive key but null", [Json.JsonObject, sensitiveKey], ([json, key]) => {
    for (const [name, value] of members(filter({ ...json, [key]: json, nested: [json] }))) {
      if (isSensitiveKey(name)) assert.isTrue(value === redacted || value === null, name)
    }
  })

  it.prop("touches nothing else, whatever it is", [Json.JsonObject], ([json]) => {
    const payload = harmless(json)
    assert.deepStrictEqual(filter(payload), payload)
  })

  it.prop("does nothing more the second time", [Json.JsonObject, sensitiveKey], ([json, key]) => {
    const once = filter({ ...json, [key]: 1 }, ["a.b", "*.c"])
    assert.deepStrictEqual(filter(once, ["a.b", "*.c"]), once)
  })

  it("keeps null, and an own key __proto__", () => {
    const payload = Object.assign(Object.create(null), { password: null, ["__proto__"]: { cvv: "1", id: 2 } })
    const filtered = filter(payload)
    assert.deepStrictEqual(Object.keys(plain(filtered) as object), ["password", "__proto__"])
    assert.strictEqual(JSON.stringify(filtered), `{"password":null,"__proto__":{"cvv":"[REDACTED]","id":2}}`)
  })

  it("judges a very long key like any other", () => {
    assert.deepStrictEqual(plain(filter({ [`${"x".repeat(300)}_token`]: 1, ["y".repeat(300)]: 2 })), {
      [`${"x".repeat(300)}_token`]: redacted,
      ["y".repeat(300)]: 2
    })
  })
})

const hidden = (payload: Json.Json, ...paths: ReadonlyArray<string>) => plain(filter(payload, paths))

describe("sensitive paths", () => {
  it("name a member by its path, and nothing of the same name elsewhere", () => {
    assert.deepStrictEqual(
      hidden({ email: "a", customer: { email: "b", name: "c", more: { email: "d" } } }, "customer.email"),
      { email: "a", customer: { email: redacted, name: "c", more: { email: "d" } } }
    )
  })

  it("go through arrays by themselves, nested ones too", () => {
    assert.deepStrictEqual(
      hidden({ people: [{ email: "a", id: 1 }, [{ email: "b" }], "x"] }, "people.email"),
      { people: [{ email: redacted, id: 1 }, [{ email: redacted }], "x"] }
    )
  })

  it("take * for any one member", () => {
    assert.deepStrictEqual(
      hidden({ a: { email: 1, id: 2 }, b: [{ email: 3 }], c: { d: { email: 4 } }, email: 5 }, "*.email"),
      { a: { email: redacted, id: 2 }, b: [{ email: redacted }], c: { d: { email: 4 } }, email: 5 }
    )
  })

  it("hide whole branches, keep null, and do nothing where they lead nowhere", () => {
    assert.deepStrictEqual(hidden({ a: { b: [1] }, c: null }, "a", "c", "x.y", "a.b.c"), { a: redacted, c: null })
    assert.deepStrictEqual(hidden({ a: 1, b: { c: 2 } }, "a.b", "b.c.d", ""), { a: 1, b: { c: 2 } })
  })

  it.prop(
    "work together with the keys",
    [FastCheck.array(FastCheck.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 5 })],
    ([steps]) => {
      const payload = around({ token: "t", kept: "k" }, steps)
      const all = hidden(payload, steps.join("."))
      assert.notInclude(JSON.stringify(all), "\"k\"")
      assert.include(JSON.stringify(hidden(payload, `${steps.join(".")}.kept`)), redacted)
      assert.notInclude(JSON.stringify(hidden(payload)), "\"t\"")
    }
  )
})

/** Plain objects, to compare with literals. */
const plain = (json: Json.Json): unknown => {
  if (Array.isArray(json)) return json.map((item: Json.Json) => plain(item))
  if (typeof json !== "object" || json === null || json instanceof Json.JsonFloat) return json
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, plain(value)]))
}
