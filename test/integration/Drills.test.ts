/**
 * The durability drills at the length of a test: node and Postgres are killed, put to sleep and restarted under load, and
 * three books are compared. `npm run drills` does the same at full length.
 */
import { assert, describe, it } from "@effect/vitest"
import { Config, Effect, Random, type Scope } from "effect"
import * as Drill from "../drills/Drill.ts"
import * as KillNode from "../drills/KillNode.ts"
import * as KillPostgres from "../drills/KillPostgres.ts"
import * as Rolling from "../drills/Rolling.ts"
import * as Zombies from "../drills/Zombies.ts"

/** SEED=… replays the load and the moments of the blows. */
const seed = Config.integer("SEED").pipe(Effect.orElse(() => Random.nextIntBetween(1, 1_000_000)))

const reachesEveryGoal = (drill: Drill.Drill<Scope.Scope>) =>
  Effect.gen(function*() {
    const { missed } = yield* Drill.perform(drill, "short", yield* seed)
    assert.deepStrictEqual(missed, [])
  })

const timeout = { timeout: 600_000 }

describe("the drills", () => {
  it.scopedLive(
    "G56–G59 a node that is killed loses nothing, repeats only what it had in flight, takes no key twice",
    () => reachesEveryGoal(KillNode.drill),
    timeout
  )

  it.scopedLive(
    "G60 a node that slept through its leases changes nothing when it wakes",
    () => reachesEveryGoal(Zombies.drill),
    timeout
  )

  it.scopedLive(
    "G61 nodes stopped one after the other lose nothing and repeat nothing",
    () => reachesEveryGoal(Rolling.drill),
    timeout
  )

  it.scopedLive(
    "H64 Postgres killed and restarted loses nothing, and the node lives on",
    () => reachesEveryGoal(KillPostgres.drill),
    timeout
  )
})
