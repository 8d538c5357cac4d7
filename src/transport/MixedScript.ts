/** Words written in two alphabets at once, as in `pаypal` with a Cyrillic а (UTS 39, "highly restrictive"). */

const scripts = ["Latin", "Cyrillic", "Greek", "Han", "Hiragana", "Katakana", "Hangul", "Bopomofo", "Arabic", "Hebrew"]
  .map((name) => [name, new RegExp(`\\p{Script=${name}}`, "u")] as const)

const other = /^[\p{Script=Common}\p{Script=Inherited}]*$/u

/** Japanese, Korean and Chinese are written in several scripts, with Latin among them. */
const together = [
  ["Latin", "Han", "Hiragana", "Katakana"],
  ["Latin", "Han", "Hangul"],
  ["Latin", "Han", "Bopomofo"]
]

/** Whether a part of the host, in Unicode, mixes scripts that no language mixes. */
export const hasMixedScripts = (unicodeHost: string): boolean => unicodeHost.split(".").some(isMixed)

const isMixed = (text: string): boolean => {
  const present = scripts.filter(([, script]) => script.test(text))
  const rest = present.reduce((left, [, script]) => left.replaceAll(new RegExp(script.source, "gu"), ""), text)
  const names = present.map(([name]) => name)
  if (!other.test(rest)) return names.length > 0
  return names.length > 1 && !together.some((set) => names.every((name) => set.includes(name)))
}
