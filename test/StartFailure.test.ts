import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpServerError from "@effect/platform/HttpServerError"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import { Cause, ConfigError, Data, Effect, Exit, Layer, Redacted } from "effect"
import { createServer } from "node:http"
import * as Postgres from "../src/persistence/Postgres.ts"
import * as StartFailure from "../src/StartFailure.ts"
import * as ScriptedReceiver from "./support/ScriptedReceiver.ts"

class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

/** What is told of a database that cannot be had. */
const saidOf = (url: string) =>
  Layer.build(Postgres.layer({ url: Redacted.make(url), poolMax: 2, queryTimeout: "1 second" })).pipe(
    Effect.scoped,
    Effect.exit,
    Effect.map((exit) => Exit.isFailure(exit) ? StartFailure.explain(exit.cause) : assert.fail("it connected"))
  )

describe("StartFailure.explain", () => {
  it("lists every setting that is not usable, under the name it has in the environment", () => {
    const error = ConfigError.And(
      ConfigError.InvalidData(["WEBHOOKS_RETRY_POLICY", "MAX_ATTEMPTS"], "expected 1 to 20"),
      ConfigError.Or(ConfigError.MissingData(["HOST"], "missing"), ConfigError.InvalidData(["PORT"], "no port"))
    )
    assert.strictEqual(
      StartFailure.explain(Cause.fail(error)),
      [
        "These settings are not usable:",
        "  WEBHOOKS_RETRY_POLICY_MAX_ATTEMPTS: expected 1 to 20",
        "  HOST: missing",
        "  PORT: no port"
      ].join("\n")
    )
  })

  it.scoped("says that the port is taken, and what to do", () =>
    Effect.gen(function*() {
      const other = yield* ScriptedReceiver.make()
      const exit = yield* Effect.exit(
        Effect.scoped(Layer.build(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: other.port })))
      )
      assert(Exit.isFailure(exit))
      assert.strictEqual(
        StartFailure.explain(exit.cause),
        `127.0.0.1:${other.port} is taken by another program. Stop that one, or set PORT to a free port.`
      )
    }))

  it.effect("says what the database answered and where it was looked for, never with which password", () =>
    Effect.gen(function*() {
      const nobody = yield* saidOf("postgres://u:hunter2@127.0.0.1:1/d")
      assert.include(nobody, "connect ECONNREFUSED 127.0.0.1:1")
      const malformed = yield* saidOf("postgres://u:hunter2@h:port/d")
      for (const text of [nobody, malformed]) {
        assert.include(text, "Check DATABASE_URL, which has the form postgres://user:password@host:port/database.")
        assert.notInclude(text, "hunter2")
      }
    }))

  it("tells of every address that a database's name led to", () => {
    const refused = ["::1:1", "127.0.0.1:1"].map((address) => new Error(`connect ECONNREFUSED ${address}`))
    const error = new SqlError({ cause: new AggregateError(refused), message: "could not connect" })
    assert.include(
      StartFailure.explain(Cause.fail(error)),
      "connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1."
    )
  })

  it("does not blame the port for anything else that keeps the server from listening", () => {
    const cause = Object.assign(new Error("listen EACCES: permission denied 0.0.0.0:80"), { code: "EACCES" })
    const said = StartFailure.explain(Cause.fail(new HttpServerError.ServeError({ cause })))
    assert.strictEqual(said, "listen EACCES: permission denied 0.0.0.0:80")
  })

  it("repeats what an error says of itself, also that of a bug", () => {
    assert.strictEqual(StartFailure.explain(Cause.fail(new Refused({ message: "No key." }))), "No key.")
    assert.strictEqual(StartFailure.explain(Cause.die(new Error("a bug"))), "a bug")
  })

  it("prints what it knows of an error without words", () => {
    assert.include(StartFailure.explain(Cause.fail(new Refused({ message: "" }))), "Refused")
    assert.include(StartFailure.explain(Cause.die("only text")), "only text")
  })
})
