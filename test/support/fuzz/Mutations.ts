/** What is done to a good body to make it a bad one: to its tree, and to its bytes. */
import { FastCheck as fc } from "effect"
import * as Json from "./JsonText.ts"
import { anyJson } from "./Schemas.ts"

const deep = (depth: number) => fc.constantFrom(`${"[".repeat(depth)}${"]".repeat(depth)}`, nestedObject(depth))

const nestedObject = (depth: number): string => `${"{\"a\":".repeat(depth)}1${"}".repeat(depth)}`

/** Texts of which JSON has some and others not. */
const oddities = fc.oneof(
  fc.constantFrom(
    "1e400",
    "-1e400",
    "1e-400",
    "9".repeat(400),
    "0.1e1",
    "-0",
    "NaN",
    "Infinity",
    "01",
    "+1",
    ".5",
    "0x10",
    "undefined",
    "'text'",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\u202e\"",
    "\"\\x41\"",
    "\"\ud83d\"",
    "\"tab\there\"",
    "[1,]",
    "{\"a\":1,}",
    "{\"a\":1,\"a\":2}",
    "{\"__proto__\":{\"role\":\"operator\"}}",
    "{\"constructor\":{\"prototype\":{\"role\":\"operator\"}}}",
    "/**/1",
    "{}",
    "[]",
    "null",
    ""
  ),
  deep(40),
  deep(101),
  deep(5_000),
  fc.constant(JSON.stringify("long ".repeat(20_000)))
).map(Json.text)

const unknownNames = fc.oneof(
  fc.constantFrom("__proto__", "constructor", "prototype", "toString", "surplus", "", "\u0000", "\ud800"),
  fc.constantFrom("id", "client_id", "status", "attempt_count", "created_at", "role", "is_active", "secret_sealed"),
  fc.string()
)

/** A tree with something done to it somewhere. */
export const mutate = (good: fc.Arbitrary<Json.JsonText>): fc.Arbitrary<Json.JsonText> =>
  fc.tuple(good, fc.nat(10_000), fc.nat(10_000), fc.oneof(oddities, anyJson), unknownNames, fc.nat(3)).map(
    ([node, place, nth, odd, name, kind]) => {
      const at = place % Json.places(node)
      if (kind === 0) return Json.replaceAt(node, at, () => odd)
      // What is done to members is done to the body's own more often than to those deep inside.
      return Json.replaceAt(node, place % 2 === 0 ? 0 : at, (found) => {
        if (found.kind !== "object") return odd
        const { members } = found
        const chosen = nth % Math.max(members.length, 1)
        if (kind === 1) return Json.object(members.filter((_, i) => i !== chosen))
        if (kind === 2) return Json.object([...members, [name, odd]])
        return Json.object([...members, ...members.slice(chosen, chosen + 1)])
      })
    }
  )

/** What is done to the bytes of a body. */
export interface Twist {
  readonly kind: typeof twists[number]
  readonly at: number
}

const twists = [
  "none",
  "bom",
  "truncated",
  "trailing",
  "invalid_utf8",
  "utf16",
  "latin1",
  "empty",
  "blank",
  "flipped",
  "doubled",
  "too_large"
] as const

export const twist: fc.Arbitrary<Twist> = fc.record({
  kind: fc.oneof(
    { weight: 150, arbitrary: fc.constantFrom(...twists.filter((kind) => kind !== "too_large")) },
    // A megabyte takes as long as fifty requests.
    { weight: 1, arbitrary: fc.constant("too_large" as const) }
  ),
  at: fc.nat(100_000)
})

export const untwisted: Twist = { kind: "none", at: 0 }

export const toBytes = (json: string, { at, kind }: Twist): Uint8Array => {
  const bytes = Buffer.from(json, "utf8")
  const middle = at % Math.max(bytes.length, 1)
  switch (kind) {
    case "none":
      return bytes
    case "bom":
      return Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes])
    case "truncated":
      return bytes.subarray(0, middle)
    case "trailing":
      return Buffer.concat([bytes, Buffer.from(at % 2 === 0 ? " {}" : "\u0000")])
    case "invalid_utf8":
      return Buffer.concat([bytes.subarray(0, middle), Buffer.from([0xc3, 0x28, 0xff]), bytes.subarray(middle)])
    case "utf16":
      return Buffer.from(json, "utf16le")
    case "latin1":
      return Buffer.from(`${json.slice(0, -1)}\u00e9`, "latin1")
    case "empty":
      return new Uint8Array()
    case "blank":
      return Buffer.from(" \r\n\t")
    case "flipped": {
      const flipped = Buffer.from(bytes)
      flipped[middle] = (flipped[middle] ?? 0) ^ (1 << (at % 8))
      return flipped
    }
    case "doubled":
      return Buffer.concat([bytes, bytes])
    case "too_large":
      return Buffer.concat([bytes, Buffer.alloc(1_100_000, " ")])
  }
}
