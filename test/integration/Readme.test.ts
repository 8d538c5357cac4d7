import { assert, layer } from "@effect/vitest"
import { ConfigError, ConfigProvider, ConfigProviderPathPatch as PathPatch, Effect, HashSet } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { AppConfig } from "../../src/AppConfig.ts"
import * as Child from "../support/Child.ts"
import * as PgTest from "../support/PgTest.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8")

const block = (language: string, containing: string): string => {
  const blocks = readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))
  const found = Array.from(blocks, ([, text]) => text ?? "").find((text) => text.includes(containing))
  assert(found !== undefined, `the README has a block of ${language} with ${containing}`)
  return found
}

layer(PgTest.layer, { timeout: "60 seconds", excludeTestServices: true })("the README", (it) => {
  it.scoped("shows a program that runs as it stands, and ends cleanly", () =>
    Effect.gen(function*() {
      const program = block("ts", "layerEmbedded").replace(`"deeper-hub-webhooks"`, `"./src/index.ts"`)
      // Not tsx's own command: it kills its child if a busy machine lets that take 60 ms to answer a signal.
      const child = yield* Child.start(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
        cwd: root,
        env: {
          PATH: process.env["PATH"] ?? "",
          DATABASE_URL: yield* PgTest.url,
          WEBHOOKS_ENCRYPTION_KEYS: `k1:${Buffer.alloc(32, 7).toString("base64")}`
        }
      })
      yield* child.said(/pagamento\.concluido goes to 1 webhook/)
      yield* child.said(/1 delivery on record/)
      const { code } = yield* child.kill("SIGTERM")
      assert.strictEqual(code, 0)
    }))

  it.effect("names every setting that there is, and no other", () =>
    Effect.gen(function*() {
      const read = new Set<string>()
      const nothing = ConfigProvider.fromFlat(ConfigProvider.makeFlat({
        load: (path) =>
          Effect.suspend(() => {
            read.add(path.join("_"))
            return Effect.fail(ConfigError.MissingData([...path], "not set"))
          }),
        enumerateChildren: () => Effect.succeed(HashSet.empty()),
        patch: PathPatch.empty
      }))
      yield* Effect.withConfigProvider(AppConfig, nothing)
      const table = readme.split("\n").filter((line) => line.startsWith("| `")).map((line) => line.split("|")[1] ?? "")
      const named = table.flatMap((cell) => Array.from(cell.matchAll(/`([A-Z][A-Z_]+)`/g), ([, name]) => name ?? ""))
      assert.deepStrictEqual(named.toSorted(), Array.from(read).toSorted())
    }))
})
