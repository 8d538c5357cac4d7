/**
 * Variables that begin like ours and that nobody reads: a misspelt setting would otherwise leave its default in force
 * without a word. Their values are not looked at; one of them may be a secret.
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import * as Layer from "effect/Layer"
import { AppConfig } from "./AppConfig.ts"

const prefix = "WEBHOOKS"

/** The names that AppConfig asks for, by letting it ask. */
const known: Effect.Effect<ReadonlyArray<string>> = Effect.suspend(() => {
  const names: Array<string> = []
  const flat = ConfigProvider.makeFlat({
    load: (path) => {
      names.push(path.join("_"))
      return Effect.fail(ConfigError.MissingData([...path], "not asked in earnest"))
    },
    enumerateChildren: () => Effect.succeed(HashSet.empty()),
    patch: { _tag: "Empty" }
  })
  return AppConfig.pipe(Effect.withConfigProvider(ConfigProvider.fromFlat(flat)), Effect.ignore, Effect.as(names))
})

/** Every name below a path of the program's own provider, which may be more than the environment. */
const present = (
  provider: ConfigProvider.ConfigProvider,
  path: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function*() {
    const name = path.join("_")
    const isThere = yield* Effect.isSuccess(provider.load(Config.string(name)))
    const children = yield* Effect.orElseSucceed(provider.flattened.enumerateChildren(path), () =>
      HashSet.empty<string>())
    const ours = Array.from(children).filter((child) =>
      path.length > 0 || child.startsWith(prefix)
    )
    const below = yield* Effect.forEach(ours, (child) => present(provider, [...path, child]))
    return [...(isThere ? [name] : []), ...below.flat()]
  })

/** What to say about each of them. */
export const warnings: Effect.Effect<ReadonlyArray<string>> = Effect.gen(function*() {
  const names = yield* known
  const found = yield* Effect.configProviderWith((provider) => present(provider, []))
  return found.filter((name) => !names.includes(name)).sort().map((name) =>
    `${name} is no setting and has no effect. Did you mean ${nearest(name, names)}?`
  )
})

export const warned = Layer.effectDiscard(
  Effect.flatMap(warnings, (all) => Effect.forEach(all, (warning) => Effect.logWarning(warning)))
)

const nearest = (name: string, names: ReadonlyArray<string>): string =>
  names.reduce((best, candidate) => distance(name, candidate) < distance(name, best) ? candidate : best)

/** Levenshtein's: letters to put in, take out or change. */
const distance = (from: string, to: string): number => {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (const [i, letter] of Array.from(from).entries()) {
    const next = [i + 1]
    for (const [j, other] of Array.from(to).entries()) {
      const change = (row[j] ?? 0) + (letter === other ? 0 : 1)
      next.push(Math.min(change, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}
