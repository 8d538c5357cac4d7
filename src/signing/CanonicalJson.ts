/**
 * Writes what Python's `json.dumps(value, sort_keys=True)` writes, byte for byte, so that a receiver may verify a
 * signature over the raw body or over its own re-serialisation of it. Real Python wrote the test's vectors.
 */
import { type Json, JsonFloat } from "../domain/Json.ts"

export const stringify = (json: Json): string => {
  switch (typeof json) {
    case "string":
      return quote(json)
    case "number":
      return Number.isInteger(json) ? String(json) : floatText(json)
    case "boolean":
    case "bigint":
      return String(json)
    default:
      if (json === null) return "null"
      if (json instanceof JsonFloat) return floatText(json.value)
      return isArray(json) ? arrayText(json) : objectText(json)
  }
}

// Array.isArray does not narrow a ReadonlyArray.
const isArray = (json: object): json is ReadonlyArray<Json> => Array.isArray(json)

const arrayText = (items: ReadonlyArray<Json>): string => {
  let text = "["
  let separator = ""
  for (const item of items) {
    text += separator + stringify(item)
    separator = ", "
  }
  return `${text}]`
}

const objectText = (object: { readonly [key: string]: Json }): string => {
  let text = "{"
  let separator = ""
  for (const key of sortedKeys(object)) {
    const value = object[key]
    if (value === undefined) continue
    text += `${separator}${quote(key)}: ${stringify(value)}`
    separator = ", "
  }
  return `${text}}`
}

const sortedKeys = (object: object): ReadonlyArray<string> => {
  const keys = Object.keys(object)
  // UTF-16 order, JavaScript's own, differs from Python's only where surrogates meet what lies above them.
  return surrogate.test(keys.join()) ? keys.sort(byCodePoint) : keys.sort()
}

const surrogate = /[\ud800-\udfff]/

const byCodePoint = (a: string, b: string): number => {
  const length = Math.min(a.length, b.length)
  let i = 0
  while (i < length && a.charCodeAt(i) === b.charCodeAt(i)) i++
  if (i === length) return a.length - b.length
  // Where a pair's second half differs, the pair does.
  const from = endsPair(a, i) || endsPair(b, i) ? i - 1 : i
  return (a.codePointAt(from) ?? 0) - (b.codePointAt(from) ?? 0)
}

const endsPair = (text: string, at: number): boolean => (text.codePointAt(at - 1) ?? 0) > 0xffff

const special = /[^ !#-[\]-~]/

const quote = (text: string): string => {
  if (!special.test(text)) return `"${text}"`
  // JSON.stringify escapes as Python does, up to what is not ASCII and DEL.
  const json = JSON.stringify(text)
  let ascii = ""
  let from = 0
  for (let i = 0; i < json.length; i++) {
    const unit = json.charCodeAt(i)
    if (unit < 0x7f) continue
    ascii += `${json.slice(from, i)}\\u${unit.toString(16).padStart(4, "0")}`
    from = i + 1
  }
  return ascii + json.slice(from)
}

/** Python's `repr`: the same shortest digits as JavaScript's, an exponent below 1e-4 and from 1e16. */
const floatText = (value: number): string => {
  const magnitude = Math.abs(value)
  if (magnitude >= 1e16 && magnitude < 1e21) return withExponent(value)
  if (magnitude >= 1e-4 && magnitude < 1e16) return Number.isInteger(value) ? `${value}.0` : String(value)
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0"
  return withExponent(value)
}

/** At least two digits of exponent, as C's printf writes. */
const withExponent = (value: number): string => value.toExponential().replace(/e([+-])(\d)$/, "e$10$2")
