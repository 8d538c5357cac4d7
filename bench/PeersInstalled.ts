/** The peers have a package.json of their own beside them, so that nobody who uses the service installs them. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Failure } from "./Failure.ts"

const here = dirname(fileURLToPath(import.meta.url))

/** npm's own note of what is installed; it is the lock file where nothing has changed since. */
const installed = join(here, "node_modules", ".package-lock.json")

const isInstalled = () => {
  if (!existsSync(installed)) return false
  const { dependencies } = JSON.parse(readFileSync(join(here, "package.json"), "utf8")) as {
    readonly dependencies: Readonly<Record<string, string>>
  }
  return Object.entries(dependencies).every(([name, version]) => {
    const file = join(here, "node_modules", name, "package.json")
    return existsSync(file) && version.endsWith((JSON.parse(readFileSync(file, "utf8")) as { version: string }).version)
  })
}

export const ensure = Effect.gen(function*() {
  if (isInstalled()) return
  yield* Console.error("  … installing the peers (npm ci in bench/)")
  yield* Effect.tryPromise({
    try: () => promisify(execFile)("npm", ["ci", "--no-audit", "--no-fund"], { cwd: here }),
    catch: (cause) =>
      new Failure({
        problem: `The peers could not be installed: ${String(cause)}`,
        advice:
          "Run `npm ci` in bench/ to see why, or measure without them: --only in-process,http,http-batch,raw,raw-claims"
      })
  })
})
