/**
 * `npm run drills`: all of them, or those that are named; `--short` for a minute of each. SEED=… replays one. Ends with 1
 * where a goal was missed.
 */
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Random } from "effect"
import * as DatabaseBlackhole from "./DatabaseBlackhole.ts"
import * as Drill from "./Drill.ts"
import * as HostileReceivers from "./HostileReceivers.ts"
import * as KillNode from "./KillNode.ts"
import * as KillPostgres from "./KillPostgres.ts"
import * as Rolling from "./Rolling.ts"
import * as SkewedClocks from "./SkewedClocks.ts"
import * as Soak from "./Soak.ts"
import * as Zombies from "./Zombies.ts"

const drills = [
  HostileReceivers.drill,
  KillNode.drill,
  KillPostgres.drill,
  Zombies.drill,
  Rolling.drill,
  DatabaseBlackhole.drill,
  SkewedClocks.drill,
  Soak.drill
]

const program = Effect.gen(function*() {
  const words = process.argv.slice(2)
  const names = words.filter((word) => word !== "--short")
  const length = names.length < words.length ? "short" : "full"
  const unknown = names.filter((name) => !drills.some((drill) => drill.name === name))
  if (unknown.length > 0) {
    return yield* Effect.fail(`no drill ${unknown.join(", ")}; there are ${drills.map(({ name }) => name).join(", ")}`)
  }
  const seed = yield* Config.integer("SEED").pipe(
    Effect.orElse(() => Random.nextIntBetween(1, 1_000_000))
  )
  const chosen = drills.filter(({ name }) => names.length === 0 || names.includes(name))
  const performed = yield* Effect.forEach(chosen, (drill) => Effect.scoped(Drill.perform(drill, length, seed)))
  yield* Console.log(`\n${Drill.summarise(performed)}`)
  if (performed.some(({ missed }) => missed.length > 0)) yield* Effect.sync(() => process.exitCode = 1)
})

program.pipe(Effect.provide(NodeContext.layer), NodeRuntime.runMain)
