import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, FastCheck, Redacted, Schema } from "effect"
import { Buffer } from "node:buffer"
import * as Secret from "../../src/signing/Secret.ts"

const choose = (secret: unknown) => Either.mapLeft(Schema.decodeUnknownEither(Secret.ChosenSecret)(secret), String)
const whsec = (bytes: number): string => `whsec_${Buffer.alloc(bytes, 0xfb).toString("base64")}`

describe("a generated secret", () => {
  it.effect("is whsec_ and the base64 of 32 random bytes", () =>
    Effect.gen(function*() {
      const secret = yield* Secret.generate
      assert.match(Redacted.value(secret), /^whsec_[A-Za-z0-9+/]{43}=$/)
      assert.lengthOf(Secret.standardKey(secret), 32)
      assert.notStrictEqual(Redacted.value(secret), Redacted.value(yield* Secret.generate))
      assert.strictEqual(String(secret), "<redacted>")
    }))

  it.effect("would be accepted as a chosen one", () =>
    Effect.gen(function*() {
      const secret = yield* Secret.generate
      assert.deepStrictEqual(yield* choose(Redacted.value(secret)), secret)
    }))
})

describe("a chosen secret", () => {
  it("may be any 8 to 256 printable ASCII characters", () => {
    for (
      const secret of ["chave-secreta", "12345678", "a b c d e", "~!@#$%^&*()", "x".repeat(256), whsec(24), whsec(64)]
    ) {
      assert.isTrue(Either.isRight(choose(secret)), secret)
    }
  })

  it("is refused with what is allowed, never with what was given", () => {
    const refused = [
      "",
      "short-1",
      "x".repeat(257),
      "nul-\u0000-inside",
      "new-\n-line",
      "del-\u007f-char",
      "não-é-ascii",
      " leading-space",
      "trailing-space ",
      "whsec_",
      "whsec_not*base64*at-all",
      whsec(23),
      whsec(65),
      whsec(32).replace("=", ""),
      1234567890,
      null
    ]
    for (const secret of refused) {
      const message = Either.match(choose(secret), { onLeft: (text) => text, onRight: () => assert.fail(`${secret}`) })
      assert.include(message, "8 to 256 printable ASCII")
      if (String(secret).length > 6) assert.notInclude(message, String(secret).trim())
    }
  })

  it.prop("comes out as it went in", [Secret.ChosenSecret], ([secret]) => {
    assert.deepStrictEqual(choose(Redacted.value(secret)), Either.right(secret))
  })
})

describe("the key of a secret", () => {
  it("is the string itself, or for Standard Webhooks the bytes after whsec_", () => {
    const secret = Redacted.make(whsec(32))
    assert.strictEqual(Buffer.from(Secret.stringKey(secret)).toString(), whsec(32))
    assert.deepStrictEqual(Buffer.from(Secret.standardKey(secret)), Buffer.alloc(32, 0xfb))
  })

  it.prop("is the UTF-8 of a secret that is not whsec_ and valid base64", [
    FastCheck.oneof(
      FastCheck.string({ unit: "grapheme" }),
      FastCheck.constantFrom("whsec_", "whsec_a", "whsec_ab==", "whsec_####")
    )
  ], ([text]) => {
    assert.deepStrictEqual(Buffer.from(Secret.standardKey(Redacted.make(text))), Buffer.from(text, "utf8"))
  })
})
