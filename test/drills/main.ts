/** `npm run drills`: all of them, or those that are named. SEED=… replays one. Ends with 1 where a goal was missed. */
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Random } from "effect"
import * as Drill from "./Drill.ts"
import * as HostileReceivers from "./HostileReceivers.ts"

const drills = [HostileReceivers.drill]

const program = Effect.gen(function*() {
  const names = process.argv.slice(2)
  const unknown = names.filter((name) => !drills.some((drill) => drill.name === name))
  if (unknown.length > 0) {
    return yield* Effect.fail(`no drill ${unknown.join(", ")}; there are ${drills.map(({ name }) => name).join(", ")}`)
  }
  const seed = yield* Config.integer("SEED").pipe(
    Effect.orElse(() => Random.nextIntBetween(1, 1_000_000))
  )
  const chosen = drills.filter(({ name }) => names.length === 0 || names.includes(name))
  const reached = yield* Effect.forEach(chosen, (drill) => Effect.scoped(Drill.perform(drill, seed)))
  if (!reached.every(Boolean)) yield* Effect.sync(() => process.exitCode = 1)
})

program.pipe(Effect.provide(NodeContext.layer), NodeRuntime.runMain)
