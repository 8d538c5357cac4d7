/**
 * Takes what must not travel out of a payload before it is stored: values under keys that name a credential or a
 * personal number, at any depth, and values at the event type's own paths.
 */
import { isObject, type Json } from "./Json.ts"

export const redacted = "[REDACTED]"

// Whole words, so that `access_token`, `accessToken` and `X-Api-Key` match and `tokenizer` or `secretary` don't; and a name
// that is one of them once its parts are put together: `pass_word`, `C.P.F.`
const sensitiveWords = new Set([
  "apikey",
  "authorization",
  "cardnumber",
  "cpf",
  "cvc",
  "cvc2",
  "cvv",
  "cvv2",
  "passphrase",
  "passwd",
  "password",
  "privatekey",
  "pwd",
  "secret",
  "senha",
  "ssn",
  "token"
])
const sensitivePairs = new Set(["api key", "card number", "private key"])

// Letters of every alphabet are letters: `secretária` is one word. An acronym ends where a capitalised word begins:
// `JWTToken` are two.
const words = (key: string): ReadonlyArray<string> =>
  key
    .normalize("NFKC")
    .replace(/\p{Cf}/gu, "")
    .replace(/([\p{Ll}\p{N}])(\p{Lu})/gu, "$1 $2")
    .replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, "$1 $2")
    .toLowerCase()
    .split(/[^\p{L}\p{M}\p{N}]+/u)

/** Whether a member of this name is redacted whatever the event type. */
export const isSensitiveKey = (key: string): boolean => {
  const parts = words(key)
  return sensitiveWords.has(parts.join("")) ||
    parts.some((word, i) => sensitiveWords.has(word) || sensitivePairs.has(`${word} ${parts[i + 1] ?? ""}`))
}

// A key is judged again in every event, and publishers use few: a bounded memory of verdicts on keys of usual length.
const verdicts = new Map<string, boolean>()
const verdictsMax = 10_000
const rememberedLengthMax = 64

const isSensitive = (key: string): boolean => {
  const known = verdicts.get(key)
  if (known !== undefined) return known
  const verdict = isSensitiveKey(key)
  if (verdicts.size < verdictsMax && key.length <= rememberedLengthMax) verdicts.set(key, verdict)
  return verdict
}

/**
 * The payload with sensitive values replaced by `"[REDACTED]"`. `paths` are dotted (`customer.email`); a path goes
 * through arrays by itself and `*` stands for any one member. Null stays null: it tells nothing.
 */
export const filter = (payload: Json, paths: ReadonlyArray<string> = []): Json =>
  redact(payload, paths.map((path) => path.split(".")))

const isArray = (value: Json): value is ReadonlyArray<Json> => Array.isArray(value)

type Paths = ReadonlyArray<ReadonlyArray<string>>

/** What has nothing to hide is the same afterwards, not a copy: that is most of what is published. */
const redact = (value: Json, paths: Paths): Json => {
  if (typeof value !== "object" || value === null) return value
  if (isArray(value)) {
    const items = value.map((item) => redact(item, paths))
    return items.some((item, i) => item !== value[i]) ? items : value
  }
  if (!isObject(value)) return value
  let filtered: Record<string, Json> | null = null
  for (const key of Object.keys(value)) {
    const member = value[key] ?? null
    const below = paths.length === 0
      ? paths
      : paths.filter(([head]) => head === key || head === "*").map(([, ...rest]) => rest)
    const here = isSensitive(key) || below.some((rest) => rest.length === 0)
    const kept = here && member !== null ? redacted : redact(member, below)
    if (kept === member) continue
    filtered ??= Object.assign<Record<string, Json>, typeof value>(Object.create(null), value)
    filtered[key] = kept
  }
  return filtered ?? value
}
