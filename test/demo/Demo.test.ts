/** The demo as a person starts it, without a terminal: a process of its own, whose temporary files are looked into after. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))

const temporary = Effect.acquireRelease(
  Effect.sync(() => {
    const made = mkdtempSync(join(tmpdir(), "deeper-hub-webhooks-demo-test-"))
    chmodSync(made, 0o755)
    return made
  }),
  (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
)

/** Runs it to its end; `interruptAt` is what it has to have said before it gets a Ctrl-C. */
const demo = (args: ReadonlyArray<string>, interruptAt: string | null = null) =>
  Effect.gen(function*() {
    const directory = yield* temporary
    return yield* Effect.promise(async () => {
      const child = spawn(process.execPath, ["--import", "tsx", main, "demo", ...args], {
        // Settings of whoever runs it must not matter.
        env: { ...process.env, TMPDIR: directory, PORT: "1", DATABASE_URL: "postgres://nobody@127.0.0.1:1/none" },
        stdio: ["ignore", "pipe", "pipe"]
      })
      let said = ""
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        if (interruptAt !== null && !said.includes(interruptAt) && (said + chunk).includes(interruptAt)) {
          child.kill("SIGINT")
        }
        said += chunk
      })
      const [error] = await Promise.all([text(child.stderr), once(child, "close")])
      return { code: child.exitCode, said, error, left: readdirSync(directory).filter((name) => name.includes("demo")) }
    })
  })

describe("npm run demo", () => {
  it.scoped("tells the day, checks it and leaves nothing behind", () =>
    Effect.gen(function*() {
      const { code, error, left, said } = yield* demo(["--day", "5"])
      assert.strictEqual(error, "")
      assert.include(said, "391 of 391 events")
      assert.include(said, "320 deliveries to 3 webhooks; 231 events that nobody asked for")
      assert.match(said, /Delivered {3}320, of which \d\d took more than one attempt/)
      assert.match(said, /320 accepted {3}\d+ 503 {3}\d+ timed out {3}\d+ reset/)
      assert.match(said, /\d{4} right {3}0 wrong/)
      assert.include(said, "✔ Everything that should have arrived did")
      assert.notInclude(said, "\u001b")
      assert.deepStrictEqual({ code, left }, { code: 0, left: [] })
    }), 120_000)

  it.scoped("fails when its time is up, says what is missing and leaves nothing behind", () =>
    Effect.gen(function*() {
      const { code, error, left, said } = yield* demo(["--limit", "2"])
      assert.include(error, "Time is up after 2 s.")
      assert.match(error, /\d+ not taken in by the API:\n {4}crm-/)
      assert.notInclude(said, "✔")
      assert.deepStrictEqual({ code, left }, { code: 1, left: [] })
    }), 120_000)

  it.scoped("stops at Ctrl-C, does not pass for a success and leaves nothing behind", () =>
    Effect.gen(function*() {
      const { code, left, said } = yield* demo([], "registered over the API")
      assert.include(said, "Stopped early")
      assert.deepStrictEqual({ code, left }, { code: 1, left: [] })
    }), 120_000)
})
