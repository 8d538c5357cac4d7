/**
 * The hostile receivers, and whoever publishes to them, in a process of their own, so that they share no event loop with
 * what is measured. They stand for 500 other machines: what they do costs the service's machine as little as can be.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Ref, Runtime } from "effect"
import { setPriority } from "node:os"
import * as ApiClient from "../support/ApiClient.ts"
import { answering } from "../support/Child.ts"
import * as HostileReceivers from "../support/HostileReceivers.ts"
import * as HostileEvents from "./HostileEvents.ts"

const program = Effect.gen(function*() {
  yield* Effect.sync(() => setPriority(19))
  const { nameserver, receivers, sightings } = yield* HostileReceivers.make(Number(process.argv[2] ?? "1"))
  const service = yield* Ref.make<ApiClient.ApiClient | null>(null)

  const answer = (question: string): Effect.Effect<unknown> => {
    const [what, base = "", key = ""] = question.split(" ")
    switch (what) {
      case "receivers":
        return Effect.succeed({ nameserver, receivers })
      case "sightings":
        return sightings
      case "publish":
        return Effect.as(Ref.set(service, ApiClient.make(base, key)), null)
      case "rest":
        return Effect.as(Ref.set(service, null), null)
      default:
        return Effect.dieMessage(`nobody here answers "${question}"`)
    }
  }
  const run = Runtime.runPromise(yield* Effect.runtime())
  answering((question) => run(answer(question)))
  yield* Console.log("READY")
  return yield* HostileEvents.publish(Ref.get(service))
})

program.pipe(Effect.scoped, NodeRuntime.runMain)
