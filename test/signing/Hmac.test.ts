import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { createHmac } from "node:crypto"
import * as Hmac from "../../src/signing/Hmac.ts"

const encoding = FastCheck.constantFrom("hex" as const, "base64" as const)

const text = FastCheck.oneof(
  FastCheck.string({ unit: "binary", maxLength: 300 }),
  // On both sides of what is hashed in one call, of one, two and three bytes each.
  FastCheck.tuple(FastCheck.constantFrom("a", "é", "€"), FastCheck.integer({ min: 4_090, max: 4_100 })).map(
    ([letter, length]) => letter.repeat(length)
  ),
  FastCheck.constant("\ud800")
)

describe("HMAC-SHA-256", () => {
  // RFC 4231, test cases 1, 2 and 6.
  for (
    const [key, data, expected] of [
      [Buffer.alloc(20, 0x0b), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"],
      [
        Buffer.from("Jefe"),
        "what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
      ],
      [
        Buffer.alloc(131, 0xaa),
        "Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
      ]
    ] as const
  ) {
    it(`of "${data}" is what RFC 4231 says`, () => {
      assert.strictEqual(Hmac.sha256(Hmac.key(key), "", data, "hex"), expected)
    })
  }

  const prefix = FastCheck.oneof(
    FastCheck.string({ unit: "grapheme-ascii", maxLength: 60 }),
    FastCheck.constantFrom("x".repeat(128), "x".repeat(129))
  )

  it.prop(
    "is Node's, whatever key, prefix and text, and whatever was signed before",
    [
      FastCheck.array(FastCheck.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 3 }),
      FastCheck.array(FastCheck.tuple(prefix, text), { minLength: 1, maxLength: 3 }),
      encoding
    ],
    ([keys, messages, encoding]) => {
      for (const bytes of keys) {
        const key = Hmac.key(bytes)
        for (const [prefix, body] of [...messages, ...messages, ...messages.toReversed()]) {
          assert.strictEqual(
            Hmac.sha256(key, prefix, body, encoding),
            createHmac("sha256", bytes).update(prefix + body).digest(encoding)
          )
        }
      }
    }
  )
})
