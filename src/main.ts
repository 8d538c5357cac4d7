#!/usr/bin/env node
/** The command line: without a command it serves. */
import * as Command from "@effect/cli/Command"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
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

const root = Command.make("deeper-hub-webhooks", {}, () => Serve.serve).pipe(
  Command.withDescription("Outgoing webhooks: durable, signed, retried, explained"),
  Command.withSubcommands([serve, migrate, keys])
)

const run = Command.run(root, { name: "Deeper Hub Webhooks", version })

run(process.argv).pipe(
  Effect.catchAllCause((cause) =>
    Cause.isInterruptedOnly(cause)
      ? Effect.failCause(cause)
      : Effect.zipRight(Console.error(`\n${StartFailure.explain(cause)}\n`), Effect.failCause(cause))
  ),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
