/** The ways to write an IPv4 address in a URL, and to put one into an IPv6 address. */
import type { Array as Arr } from "effect"

export const numberOf = (dotted: string): number =>
  dotted.split(".").reduce((value, octet) => value * 256 + Number(octet), 0)

export const dottedOf = (value: number): string => octetsOf(value).join(".")

const octetsOf = (value: number): ReadonlyArray<number> => [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff)

type Spell = (value: number) => string

const hex = (number: number): string => `0x${number.toString(16)}`
const octal = (number: number): string => `0${number.toString(8)}`

/** The first octets one by one, and the rest as one number, as `127.1` has it. */
const short = (dots: number, write: (number: number) => string): Spell => (value) =>
  [...octetsOf(value).slice(0, dots), value % 2 ** (32 - 8 * dots)].map(write).join(".")

/** Other characters for the digits, which the URL parser makes digits of. */
const digitsFrom = (zero: number): Spell => (value) =>
  dottedOf(value).replace(/\d/g, (digit) => String.fromCodePoint(zero + Number(digit)))

const circled: Spell = (value) => dottedOf(value).replace(/\d/g, (digit) => "⓪①②③④⑤⑥⑦⑧⑨".charAt(Number(digit)))

const superscript: Spell = (value) => dottedOf(value).replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹".charAt(Number(digit)))

const dotsAs = (dot: string): Spell => (value) => dottedOf(value).replaceAll(".", dot)

const percentEncoded = (text: string): string =>
  text.replace(/./g, (character) => `%${character.charCodeAt(0).toString(16)}`)

/** Every one of them is the same address to the URL parser. */
export const spellings: Arr.NonEmptyReadonlyArray<Spell> = [
  dottedOf,
  String,
  hex,
  (value) => hex(value).toUpperCase(),
  octal,
  (value) => `000000000${octal(value)}`,
  (value) => octetsOf(value).map(hex).join("."),
  (value) => octetsOf(value).map(octal).join("."),
  (value) => octetsOf(value).map((octet, i) => [hex, octal, String][i % 3]?.(octet)).join("."),
  short(1, String),
  short(2, String),
  short(1, hex),
  short(2, octal),
  (value) => percentEncoded(dottedOf(value)),
  (value) => dottedOf(value).replace(/\d/, (digit) => percentEncoded(digit)),
  (value) => percentEncoded(hex(value)),
  digitsFrom(0xff10),
  digitsFrom(0x1d7ce),
  circled,
  superscript,
  dotsAs("\u3002"),
  dotsAs("\uff0e"),
  dotsAs("\uff61"),
  (value) => encodeURIComponent(circled(value)),
  (value) => `${dottedOf(value)}.`,
  (value) => `${hex(value)}.`
]

const hextets = (value: number): string => `${(value >>> 16).toString(16)}:${(value & 0xffff).toString(16)}`

/** By what carries the IPv4 address. */
export const embeddings: Readonly<Record<string, Spell>> = {
  "a mapped address": (value) => `::ffff:${dottedOf(value)}`,
  "a mapped address in hexadecimal": (value) => `::ffff:${hextets(value)}`,
  "a mapped address in full": (value) => `0000:0000:0000:0000:0000:FFFF:${hextets(value).toUpperCase()}`,
  "a mapped address with zeros": (value) => `0:0:0:0:0:ffff:${dottedOf(value)}`,
  "a compatible address": (value) => `::${dottedOf(value)}`,
  "a translated address": (value) => `::ffff:0:${hextets(value)}`,
  "NAT64": (value) => `64:ff9b::${dottedOf(value)}`,
  "NAT64 in hexadecimal": (value) => `64:ff9b:0:0:0:0:${hextets(value)}`,
  "local NAT64": (value) => `64:ff9b:1::${hextets(value)}`,
  "6to4": (value) => `2002:${hextets(value)}::1`,
  "a Teredo client": (value) => `2001:0:4136:e378:8000:63bf:${hextets(~value >>> 0)}`,
  "a Teredo server": (value) => `2001:0:${hextets(value)}:8000:63bf:3fff:fdd2`,
  "ISATAP": (value) => `fe80::5efe:${dottedOf(value)}`
}
