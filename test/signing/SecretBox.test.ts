import { assert, describe, it, layer } from "@effect/vitest"
import { Arbitrary, Effect, Either, FastCheck, Redacted, Schema } from "effect"
import { Buffer } from "node:buffer"
import { ClientId, WebhookId } from "../../src/domain/Ids.ts"
import { EncryptionKeys } from "../../src/signing/EncryptionKeys.ts"
import { type BoxContext, SecretBox } from "../../src/signing/SecretBox.ts"

const material = (fill: number): string => Buffer.alloc(32, fill).toString("base64")
const keyring = (text: string) => SecretBox.layer(Schema.decodeSync(EncryptionKeys)(text))
const [k1, k2] = [`k1:${material(1)}`, `k2:${material(2)}`]

const here: BoxContext = {
  clientId: ClientId.make("default"),
  webhookId: WebhookId.make("whk_01jmh2v3s8e5xt6dq4t9v0r1kz"),
  column: "secret"
}
const plain = Redacted.make("chave-secreta")

const seal = (text: Redacted.Redacted, place = here) => Effect.flatMap(SecretBox, (box) => box.seal(text, place))
const open = (box: Uint8Array, place = here) => Effect.flatMap(SecretBox, (service) => service.open(box, place))

const places: FastCheck.Arbitrary<BoxContext> = FastCheck.record({
  clientId: Arbitrary.make(ClientId),
  webhookId: Arbitrary.make(WebhookId),
  column: FastCheck.string()
})

// The same key under every name that one changed byte could spell: only the authenticated header tells these apart.
const alike = ["k1", "k0", "k3", "K1", "c1", "kq"].map((id) => `${id}:${material(1)}`).join(",")

layer(keyring(alike))("a box", (test) => {
  test.effect("opens to its own text, also where another was opened in its place before", () =>
    Effect.gen(function*() {
      const boxes = [yield* seal(Redacted.make("old one")), yield* seal(Redacted.make("new one"))] as const
      for (const [nth, text] of [[0, "old one"], [1, "new one"], [0, "old one"], [1, "new one"]] as const) {
        assert.strictEqual(Redacted.value(yield* open(boxes[nth])), text)
      }
    }))

  test.effect("opens in its own place alone, also once it was opened there, beside others", () =>
    Effect.gen(function*() {
      const mine: ReadonlyArray<BoxContext> = [
        here,
        { ...here, column: "headers" },
        { ...here, clientId: ClientId.make("other") },
        { ...here, webhookId: WebhookId.make("whk_01jmh2v3s8e5xt6dq4t9v0r1kw") }
      ]
      const textOf = (place: BoxContext) => Object.values(place).join(" ")
      const boxes = yield* Effect.forEach(mine, (place) => seal(Redacted.make(textOf(place)), place))
      for (let round = 0; round < 2; round++) {
        for (const [nth, box] of boxes.entries()) {
          for (const place of mine) {
            const opened = yield* Effect.either(open(box, place))
            const text = Either.isRight(opened) ? Redacted.value(opened.right) : null
            assert.strictEqual(text, place === mine[nth] ? textOf(place) : null)
          }
        }
      }
    }))

  test.effect.prop(
    "opens where it was sealed",
    [FastCheck.string({ unit: "binary" }), places],
    ([text, place]) =>
      Effect.gen(function*() {
        const box = yield* seal(Redacted.make(text), place)
        assert.strictEqual(Redacted.value(yield* open(box, place)), text)
      })
  )

  test.effect.prop(
    "does not open with any byte changed",
    [FastCheck.string(), FastCheck.nat(), FastCheck.integer({ min: 1, max: 255 })],
    ([text, at, flip]) =>
      Effect.gen(function*() {
        const box = yield* seal(Redacted.make(text))
        const index = at % box.length
        box[index] = (box[index] ?? 0) ^ flip
        assert.isTrue(Either.isLeft(yield* Effect.either(open(box))))
      }),
    { fastCheck: { numRuns: 500 } }
  )

  test.effect("does not open with any byte of its header changed to any other", () =>
    Effect.gen(function*() {
      const box = yield* seal(plain)
      for (let index = 0; index < 4; index++) {
        for (let flip = 1; flip < 256; flip++) {
          const changed = box.slice()
          changed[index] = (box[index] ?? 0) ^ flip
          assert.isTrue(Either.isLeft(yield* Effect.either(open(changed))))
        }
      }
    }))

  test.effect("does not open cut short", () =>
    Effect.gen(function*() {
      const box = yield* seal(plain)
      for (let length = 0; length < box.length; length++) {
        assert.isTrue(Either.isLeft(yield* Effect.either(open(box.subarray(0, length)))))
      }
    }))

  test.effect.prop(
    "does not open in another row, column or tenant",
    [places, places],
    ([from, to]) =>
      Effect.gen(function*() {
        const box = yield* seal(plain, from)
        for (const part of ["clientId", "webhookId", "column"] as const) {
          if (from[part] === to[part]) continue
          const error = yield* Effect.flip(open(box, { ...from, [part]: to[part] }))
          assert.strictEqual(error.reason, "altered")
        }
      })
  )

  test.effect("does not open where only the borders between the names moved", () =>
    Effect.gen(function*() {
      const box = yield* seal(plain, { ...here, column: "a" })
      const moved = {
        ...here,
        clientId: ClientId.make("defaul"),
        webhookId: `t${here.webhookId}` as WebhookId,
        column: "a"
      }
      assert.strictEqual((yield* Effect.flip(open(box, moved))).reason, "altered")
    }))

  test.effect("is different each time", () =>
    Effect.gen(function*() {
      assert.notDeepEqual(yield* seal(plain), yield* seal(plain))
    }))

  test.effect("has the layout of the boxes already stored", () =>
    Effect.gen(function*() {
      const box = yield* seal(plain)
      assert.deepStrictEqual(Array.from(box.subarray(0, 4)), [1, 2, 0x6b, 0x31])
      assert.lengthOf(box, 4 + 12 + 16 + "chave-secreta".length)
      const stored = "01026b3127bfcb7d154876521a29b64468ba24b8423d622e13a73803f0a620c25c7adccfec1bbe6c268031e7e4"
      assert.deepStrictEqual(yield* open(Buffer.from(stored, "hex")), plain)
    }))
})

describe("a rotated keyring", () => {
  it.effect("opens old boxes, and seals with its first key", () =>
    Effect.gen(function*() {
      const old = yield* Effect.provide(seal(plain), keyring(k1))
      yield* Effect.gen(function*() {
        const fresh = yield* seal(plain)
        assert.deepStrictEqual([yield* open(old), yield* open(fresh)], [plain, plain])
        const { currentHeader, currentKeyId } = yield* SecretBox
        const beginsSo = (box: Uint8Array) => Buffer.compare(box.subarray(0, currentHeader.length), currentHeader) === 0
        assert.deepStrictEqual([beginsSo(old), beginsSo(fresh)], [false, true])
        assert.strictEqual(currentKeyId, "k2")
      }).pipe(Effect.provide(keyring(`${k2},${k1}`)))
    }))
})

describe("SecretUnreadable", () => {
  it.effect("says what is missing or wrong, and never the text", () =>
    Effect.gen(function*() {
      const box = yield* Effect.provide(seal(plain), keyring(k1))
      const missing = yield* Effect.flip(Effect.provide(open(box), keyring(k2)))
      const other = yield* Effect.flip(Effect.provide(open(box), keyring(`k1:${material(9)}`)))
      const malformed = yield* Effect.flip(Effect.provide(open(new Uint8Array([2, 1, 2, 3])), keyring(k1)))
      assert.deepStrictEqual([missing.reason, missing.keyId], ["unknown_key", "k1"])
      assert.deepStrictEqual([other.reason, other.keyId], ["altered", "k1"])
      assert.deepStrictEqual([malformed.reason, malformed.keyId], ["malformed", null])
      assert.strictEqual(
        missing.message,
        `cannot open secret of webhook ${here.webhookId}, client default: the keyring holds no key "k1"`
      )
      for (const error of [missing, other, malformed]) {
        assert.notInclude(JSON.stringify(error) + String(error), "chave-secreta")
      }
    }))
})

describe("bytes that are no box", () => {
  it.effect("are malformed, whatever they are", () =>
    Effect.gen(function*() {
      const padding = Array.from({ length: 40 }, () => 65)
      for (const bytes of [[], [1], [1, 2, 3], [1, 0, ...padding], [1, 2, 0, 10, ...padding], [2, 2, ...padding]]) {
        const error = yield* Effect.flip(open(new Uint8Array(bytes)))
        assert.deepStrictEqual([error.reason, error.keyId], ["malformed", null])
      }
    }).pipe(Effect.provide(keyring(k1))))
})
