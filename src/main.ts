#!/usr/bin/env node
/** The command line: without a command it serves. */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Demo from "./demo/Demo.ts"
import * as Serve from "./Serve.ts"
import * as StartFailure from "./StartFailure.ts"
import { version } from "./telemetry/Version.ts"

const serve = Command.make("serve", {}, () => Serve.serve).pipe(
  Command.withDescription("Run the service (what happens without a command, too)")
)

const migrate = Command.make("migrate", {}, () => Serve.migrate).pipe(
  Command.withDescription("Bring the database up to date and end")
)

const keys = Command.make("keys", {}, () => Serve.issueOperatorKey).pipe(
  Command.withDescription("Issue another operator key and print it")
)

const reencrypt = Command.make("reencrypt", {}, () => Serve.reencrypt).pipe(
  Command.withDescription("Seal every secret again under the first key of WEBHOOKS_ENCRYPTION_KEYS")
)

const seconds = (name: string, otherwise: number, description: string) =>
  Options.integer(name).pipe(Options.withDefault(otherwise), Options.withDescription(description))

const demo = Command.make("demo", {
  seed: Options.integer("seed").pipe(Options.withDefault(20_250_220), Options.withDescription("The day to tell")),
  day: seconds("day", 14, "Seconds that the day takes"),
  limit: seconds("limit", 120, "Seconds after which it is given up")
}, Demo.demo).pipe(
  Command.withDescription("Tell a day of a CRM: the real service, database, receivers; everything is checked")
)

const root = Command.make("deeper-hub-webhooks", {}, () => Serve.serve).pipe(
  Command.withDescription("Outgoing webhooks: durable, signed, retried, explained"),
  Command.withSubcommands([serve, migrate, keys, reencrypt, demo])
)

const run = Command.run(root, { name: "Deeper Hub Webhooks", version })

// A terminal that closes is a good reason to stop, too, and the runtime knows only two signals.
process.once("SIGHUP", () => process.kill(process.pid, "SIGTERM"))

run(process.argv).pipe(
  Effect.catchAllCause((cause) =>
    Cause.isInterruptedOnly(cause)
      ? Effect.failCause(cause)
      : Effect.zipRight(Console.error(`\n${StartFailure.explain(cause)}\n`), Effect.failCause(cause))
  ),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
