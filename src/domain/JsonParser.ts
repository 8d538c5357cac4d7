/** Reads JSON text without losing what `JSON.parse` loses. */
import * as Either from "effect/Either"
import {
  depthMax,
  float,
  integer,
  integerDigitsMax,
  type Json,
  JsonError,
  type JsonErrorCode,
  type JsonRecord
} from "./JsonModel.ts"

// The readers are recursive: no caller's own limit may let a text exhaust the stack.
const depthCeiling = 1000

/** Reads strict RFC 8259. Repeated keys are refused, since receivers disagree on which one counts. */
export const parse = (
  text: string,
  options?: { readonly maxDepth?: number | undefined }
): Either.Either<Json, JsonError> => {
  const parser = new Parser(text, Math.min(options?.maxDepth ?? depthMax, depthCeiling))
  const json = parser.document()
  return json === undefined ? Either.left(parser.error()) : Either.right(json)
}

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const ZERO = 0x30
const COLON = 0x3a
const BACKSLASH = 0x5c
const ARRAY_END = 0x5d
const OBJECT_END = 0x7d
const END = -1

const escapes = new Map([
  [0x22, "\""],
  [0x5c, "\\"],
  [0x2f, "/"],
  [0x62, "\b"],
  [0x66, "\f"],
  [0x6e, "\n"],
  [0x72, "\r"],
  [0x74, "\t"]
])

const fourHexDigits = /^[0-9a-fA-F]{4}$/

interface Failure {
  readonly code: JsonErrorCode
  readonly message: string
  readonly offset: number
}

const noFailure: Failure = { code: "json_syntax", message: "", offset: 0 }

/** A scanner over UTF-16 units. Its methods return undefined when they have failed and noted why: `error` tells. */
class Parser {
  private at = 0
  private depth = 0
  private failure: Failure = noFailure
  private readonly text: string
  private readonly maxDepth: number

  constructor(text: string, maxDepth: number) {
    this.text = text
    this.maxDepth = maxDepth
  }

  document(): Json | undefined {
    this.space()
    const json = this.value()
    if (json === undefined || this.space() === END) return json
    return this.expected("the end of the text")
  }

  private value(): Json | undefined {
    const unit = this.peek()
    switch (unit) {
      case QUOTE:
        return this.string()
      case 0x7b:
        return this.object()
      case 0x5b:
        return this.array()
      case 0x74:
        return this.word("true", true)
      case 0x66:
        return this.word("false", false)
      case 0x6e:
        return this.word("null", null)
      default:
        return unit === MINUS || isDigit(unit) ? this.number() : this.expected("a JSON value")
    }
  }

  private word<const A extends Json>(word: string, value: A): A | undefined {
    if (!this.text.startsWith(word, this.at)) return this.expected(`the word ${word}`)
    this.at += word.length
    return value
  }

  private object(): JsonRecord | undefined {
    if (!this.enter()) return undefined
    const object: Record<string, Json> = Object.create(null)
    if (this.space() === OBJECT_END) return this.leave(object)
    for (;;) {
      if (this.peek() !== QUOTE) return this.expected("a key in double quotes")
      const keyAt = this.at
      const key = this.string()
      if (key === undefined) return undefined
      if (key in object) {
        return this.fail("json_duplicate_key", `expected each key once, found ${quoted(key)} again`, keyAt)
      }
      if (this.space() !== COLON) return this.expected("':' after the key")
      this.at++
      this.space()
      const value = this.value()
      if (value === undefined) return undefined
      object[key] = value
      const next = this.space()
      if (next === OBJECT_END) return this.leave(object)
      if (next !== COMMA) return this.expected("',' or '}' after the member")
      this.at++
      this.space()
    }
  }

  private array(): ReadonlyArray<Json> | undefined {
    if (!this.enter()) return undefined
    const items: Array<Json> = []
    if (this.space() === ARRAY_END) return this.leave(items)
    for (;;) {
      const value = this.value()
      if (value === undefined) return undefined
      items.push(value)
      const next = this.space()
      if (next === ARRAY_END) return this.leave(items)
      if (next !== COMMA) return this.expected("',' or ']' after the item")
      this.at++
      this.space()
    }
  }

  private enter(): boolean {
    if (++this.depth > this.maxDepth) {
      this.fail("json_depth", `expected at most ${this.maxDepth} nested arrays and objects, found more`)
      return false
    }
    this.at++
    return true
  }

  private leave<A>(value: A): A {
    this.depth--
    this.at++
    return value
  }

  private string(): string | undefined {
    const { text } = this
    const start = this.at + 1
    let out = ""
    let from = start
    for (let i = start; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      if (unit === QUOTE) {
        this.at = i + 1
        return from === start ? text.slice(start, i) : out + text.slice(from, i)
      }
      if (unit < 0x20) {
        this.at = i
        return this.expected("control characters escaped in a string")
      }
      if (unit === BACKSLASH) {
        const character = this.escape(i)
        if (character === undefined) return undefined
        out += text.slice(from, i) + character
        from = this.at
        i = from - 1
      }
    }
    this.at = text.length
    return this.expected(`'"' at the end of the string`)
  }

  /** The character of the escape at `at`; moves behind it. */
  private escape(at: number): string | undefined {
    const kind = this.text.charCodeAt(at + 1)
    if (kind === 0x75) {
      const digits = this.text.slice(at + 2, at + 6)
      this.at = at + 6
      if (fourHexDigits.test(digits)) return String.fromCharCode(Number.parseInt(digits, 16))
      this.at = at + 2
      return this.expected("four hexadecimal digits after \\u")
    }
    this.at = at + 2
    const character = escapes.get(kind)
    if (character !== undefined) return character
    this.at = at + 1
    return this.expected(`one of " \\ / b f n r t u after a backslash`)
  }

  private number(): Json | undefined {
    const start = this.at
    if (this.peek() === MINUS) this.at++
    const digitsAt = this.at
    if (!this.digits()) return undefined
    const digits = this.at - digitsAt
    if (digits > 1 && this.text.charCodeAt(digitsAt) === ZERO) {
      return this.fail("json_syntax", "expected no zeros before a number, found one", digitsAt)
    }
    let whole = true
    if (this.peek() === 0x2e) {
      whole = false
      this.at++
      if (!this.digits()) return undefined
    }
    if (this.peek() === 0x65 || this.peek() === 0x45) {
      whole = false
      this.at++
      if (this.peek() === 0x2b || this.peek() === MINUS) this.at++
      if (!this.digits()) return undefined
    }
    const text = this.text.slice(start, this.at)
    if (!whole) {
      const value = Number(text)
      if (Number.isFinite(value)) return float(value)
      return this.fail("json_number_range", "expected a number within ±1.8e308, found a larger one", start)
    }
    // Adding 0 makes 0 of -0, which is no integer of its own.
    if (digits <= 15) return Number(text) + 0
    if (digits <= integerDigitsMax) return integer(BigInt(text))
    return this.fail("json_number_range", `expected at most ${integerDigitsMax} digits, found ${digits}`, start)
  }

  private digits(): boolean {
    if (!isDigit(this.peek())) {
      this.expected("a digit")
      return false
    }
    while (isDigit(this.peek())) this.at++
    return true
  }

  private peek(): number {
    return this.at < this.text.length ? this.text.charCodeAt(this.at) : END
  }

  /** Moves to the next unit that is no white space, and returns it. */
  private space(): number {
    let unit = this.peek()
    while (unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09) {
      this.at++
      unit = this.peek()
    }
    return unit
  }

  private expected(what: string): undefined {
    return this.fail("json_syntax", `expected ${what}, found ${shown(this.text.codePointAt(this.at))}`)
  }

  private fail(code: JsonErrorCode, message: string, offset = this.at): undefined {
    this.failure = { code, message, offset }
  }

  error(): JsonError {
    const { code, message, offset } = this.failure
    const before = this.text.slice(0, offset)
    const line = before.split("\n").length
    const column = offset - before.lastIndexOf("\n")
    return new JsonError({
      code,
      message: `${message}, at line ${line}, column ${column}`,
      position: { offset, line, column },
      path: null
    })
  }
}

const isDigit = (unit: number): boolean => unit >= 0x30 && unit <= 0x39

const shown = (codePoint: number | undefined): string => {
  if (codePoint === undefined) return "the end of the text"
  if (codePoint > 0x20 && codePoint < 0x7f) return `'${String.fromCharCode(codePoint)}'`
  const name = `U+${codePoint.toString(16).toUpperCase().padStart(4, "0")}`
  return codePoint === 0xfeff ? `${name} (a byte order mark)` : name
}

const quoted = (key: string): string => JSON.stringify(key.length > 64 ? `${key.slice(0, 64)}…` : key)
