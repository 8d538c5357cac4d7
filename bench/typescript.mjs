/**
 * Runs TypeScript as it is built for production: the types are taken out, and nothing is put in. tsx, with which all else
 * here is run, has every function named when it is made, and whoever makes many pays a third more for each event.
 */
import { transform } from "esbuild"
import { readFile } from "node:fs/promises"
import { register } from "node:module"
import { fileURLToPath } from "node:url"
import { isMainThread } from "node:worker_threads"

// Node runs the hooks below in a thread of their own, and imports this module there once more.
if (isMainThread) register(import.meta.url)

export const load = async (url, context, next) => {
  if (!url.endsWith(".ts")) return next(url, context)
  const source = await readFile(fileURLToPath(url), "utf8")
  const { code } = await transform(source, { loader: "ts", format: "esm", target: "node20", sourcefile: url })
  return { format: "module", source: code, shortCircuit: true }
}
