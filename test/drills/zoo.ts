/**
 * The hostile receivers in a process of their own, so that they share no event loop with what is measured. They stand for
 * 500 other machines: what they do costs the service's machine as little as can be.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Runtime } from "effect"
import { setPriority } from "node:os"
import { answering } from "../support/Child.ts"
import * as HostileReceivers from "../support/HostileReceivers.ts"

const program = Effect.gen(function*() {
  yield* Effect.sync(() => setPriority(19))
  const { nameserver, receivers, sightings } = yield* HostileReceivers.make(Number(process.argv[2] ?? "1"))
  const run = Runtime.runPromise(yield* Effect.runtime())
  answering((question) => question === "receivers" ? Promise.resolve({ nameserver, receivers }) : run(sightings))
  yield* Console.log("READY")
  return yield* Effect.never
})

program.pipe(Effect.scoped, NodeRuntime.runMain)
