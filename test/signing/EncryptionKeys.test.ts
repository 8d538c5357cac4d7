import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Redacted, Schema } from "effect"
import { Buffer } from "node:buffer"
import { EncryptionKeys, generateKey } from "../../src/signing/EncryptionKeys.ts"

const material = (fill: number, length = 32): string => Buffer.alloc(length, fill).toString("base64")
const keyring = Schema.decodeSync(EncryptionKeys)
const [k1, k2] = [`k1:${material(1)}`, `k2:${material(2)}`]

const message = (text: string): string =>
  Either.match(Schema.decodeEither(EncryptionKeys)(text), {
    onLeft: String,
    onRight: () => assert.fail("the keyring was accepted")
  })

describe("EncryptionKeys", () => {
  it("reads a keyring in its order", () => {
    const keys = keyring(` ${k2} , ${k1}`)
    assert.deepStrictEqual(keys.map(({ id }) => id), ["k2", "k1"])
    assert.deepStrictEqual(Array.from(Redacted.value(keys[0].bytes)), Array(32).fill(2))
    assert.notInclude(JSON.stringify(keys) + String(keys), material(2))
  })

  it("says which entry is wrong and how, without its key", () => {
    const short = material(7, 31)
    const cases: ReadonlyArray<readonly [string, string]> = [
      ["", "entry 1: expected <key id>:<base64 of 32 bytes>, found nothing"],
      [`${k1},`, "entry 2: expected <key id>:<base64 of 32 bytes>, found nothing"],
      [material(7), "entry 1: expected <key id>:<base64 of 32 bytes>, found no colon"],
      [`${k1},k2:${short}`, "entry 2 (k2): expected base64 of 32 bytes, found 31 bytes"],
      [`k1:${material(7).slice(0, -1)}`, "entry 1 (k1): expected base64 of 32 bytes, found text that is not base64"],
      [`k1:${"7".repeat(64)}`, "entry 1 (k1): expected base64 of 32 bytes, found 48 bytes"],
      [`${material(7)}:k1`, "entry 1: expected a key id of 1 to 16 letters, digits, '_' or '-' before the colon"],
      [`${k1},${k2},k1:${material(7)}`, "entry 3 (k1): expected each key id once, found it again"]
    ]
    for (const [text, expected] of cases) {
      assert.include(message(text), expected)
      for (const key of [material(7), short, material(1)]) assert.notInclude(message(text), key.slice(0, 20))
    }
  })

  it.effect("generates entries that it accepts", () =>
    Effect.gen(function*() {
      const entries = yield* Effect.all([generateKey, generateKey])
      const keys = keyring(entries.map(Redacted.value).join(","))
      assert.lengthOf(keys, 2)
      assert.strictEqual(String(entries[0]), "<redacted>")
    }))
})
