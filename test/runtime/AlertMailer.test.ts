import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import { Effect, Either, Layer, Logger, Queue, Redacted } from "effect"
import { EmailAddress } from "../../src/domain/EmailAddress.ts"
import type * as Ids from "../../src/domain/Ids.ts"
import { AlertMails } from "../../src/persistence/AlertMails.ts"
import { AlertStore, type NewAlert } from "../../src/persistence/AlertStore.ts"
import { ClientStore } from "../../src/persistence/ClientStore.ts"
import * as AlertMailer from "../../src/runtime/AlertMailer.ts"
import { Supervisor } from "../../src/runtime/Supervisor.ts"
import { Mailer } from "../../src/transport/Mailer.ts"
import * as SmtpServer from "../../src/transport/SmtpServer.ts"
import { eventually, soon } from "../support/Eventually.ts"
import * as MailServer from "../support/MailServer.ts"
import * as Rows from "../support/Rows.ts"
import * as Stores from "../support/Stores.ts"

const url = "https://example.com/hook?token=canary"

/** A client with an address for alerts, and a webhook. */
const makeTenant = (name: string, alertEmail: string | null = `${name}@example.com`) =>
  Effect.gen(function*() {
    const client = yield* Rows.makeClient(name)
    const clients = yield* ClientStore
    yield* clients.update(client, { alertEmail: alertEmail === null ? null : EmailAddress.make(alertEmail) })
    const webhook = yield* Rows.makeWebhook(client, ["deal.*"], { url, name })
    return { client, webhook }
  })

const raise = ({ client, webhook }: Effect.Effect.Success<ReturnType<typeof makeTenant>>, change?: Partial<NewAlert>) =>
  Effect.flatMap(AlertStore, (store) =>
    store.raise({
      clientId: client,
      webhookId: webhook.id,
      kind: "high_latency",
      severity: "warning",
      message: "It takes long to answer.",
      details: {},
      ...change
    }))

const mailer = (port: number) =>
  AlertMailer.layer({ interval: "20 millis" }).pipe(
    Layer.provide(Mailer.layer({
      from: EmailAddress.make("hooks@example.com"),
      server: Either.getOrThrow(SmtpServer.fromUrl(Redacted.make(`smtp://127.0.0.1:${port}`)))
    })),
    Layer.provideMerge(Supervisor.layer),
    Layer.provide(Logger.remove(Logger.defaultLogger))
  )

const owed = (client: Ids.ClientId) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql<{ attempts: number; pause: number }>`
      SELECT mail_attempts AS attempts, round(extract(epoch FROM mail_due_at - now()))::int AS pause FROM alerts
      WHERE client_id = ${client} AND mailed_at IS NULL ORDER BY id`)

const makeDue = (client: Ids.ClientId) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`UPDATE alerts SET mail_due_at = now() WHERE client_id = ${client}`)

const mailed = (client: Ids.ClientId) => eventually(owed(client), (rows) => rows.length === 0)

/** Takes out of the way whatever an earlier test left. */
const settle = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`UPDATE alerts SET mailed_at = now()`)

layer(Stores.layer, Stores.options)("AlertMailer", (it) => {
  it.scoped("mails an alert to its client, once", () =>
    Effect.gen(function*() {
      yield* settle
      const tenant = yield* makeTenant("told")
      const server = yield* MailServer.make()
      yield* raise(tenant)
      yield* Effect.gen(function*() {
        const { headers, text, to } = yield* soon(Queue.take(server.mails))
        assert.deepStrictEqual(to, ["told@example.com"])
        assert.strictEqual(headers["subject"], "Webhook told takes long to answer")
        assert.include(text, "https://example.com/hook")
        assert.notInclude(text, "canary")
        yield* mailed(tenant.client)
        yield* raise(tenant)
        yield* raise(tenant, { kind: "certificate_error" })
        const second = yield* soon(Queue.take(server.mails))
        assert.strictEqual(second.headers["subject"], "Webhook told has a certificate that is not accepted")
      }).pipe(Effect.provide(mailer(server.port)))
      assert.strictEqual(yield* Queue.size(server.mails), 0, "one that goes on is not mailed again")
    }))

  it.scoped("a client's alerts that come together go in one mail; another client's in another", () =>
    Effect.gen(function*() {
      yield* settle
      const [one, two] = [yield* makeTenant("together"), yield* makeTenant("apart")]
      for (const kind of ["high_latency", "certificate_error", "secret_expiring"] as const) yield* raise(one, { kind })
      yield* raise(two)
      const server = yield* MailServer.make()
      yield* Effect.all([mailed(one.client), mailed(two.client)]).pipe(Effect.provide(mailer(server.port)))
      const mails = Array.from(yield* Queue.takeAll(server.mails))
      assert.deepStrictEqual(mails.map(({ headers, to }) => [to[0], headers["subject"]]), [
        ["together@example.com", "3 alerts about webhook together"],
        ["apart@example.com", "Webhook apart takes long to answer"]
      ])
    }))

  it.scoped("is not lost while the server is away: it is put off, longer each time, and sent when it is back", () =>
    Effect.gen(function*() {
      yield* settle
      const tenant = yield* makeTenant("away")
      const id = yield* raise(tenant)
      const { port } = yield* Effect.scoped(MailServer.make())
      const program = Effect.gen(function*() {
        const pauses = new Array<number>()
        for (let n = 1; n <= 3; n++) {
          const [row] = yield* eventually(owed(tenant.client), ([row]) => row?.attempts === n)
          pauses.push(row?.pause ?? 0)
          if (n < 3) yield* makeDue(tenant.client)
        }
        ;[60, 120, 240].forEach((pause, n) => assert.closeTo(pauses[n] ?? 0, pause, 3))
        const back = yield* MailServer.make(undefined, port)
        yield* makeDue(tenant.client)
        const { text } = yield* soon(Queue.take(back.mails))
        assert.include(text, id)
        yield* mailed(tenant.client)
        const supervisor = yield* Supervisor
        assert.deepInclude((yield* supervisor.actors)[0], { name: "AlertMailer", restarts: 0, state: "running" })
      })
      yield* Effect.provide(program, mailer(port))
    }))

  it.scoped("a client whose mail is refused keeps nobody else from theirs", () =>
    Effect.gen(function*() {
      yield* settle
      const [bad, good] = [yield* makeTenant("refused"), yield* makeTenant("accepted")]
      yield* raise(bad)
      yield* raise(good)
      const server = yield* MailServer.make({
        disabledCommands: ["STARTTLS", "AUTH"],
        onRcptTo: ({ address }, _, callback) =>
          address.startsWith("refused")
            ? callback(Object.assign(new Error("No such mailbox"), { responseCode: 550 }))
            : callback()
      })
      yield* mailed(good.client).pipe(Effect.provide(mailer(server.port)))
      assert.deepStrictEqual((yield* owed(bad.client)).map(({ attempts }) => attempts), [1])
    }))

  it.scoped("two nodes mail each alert once", () =>
    Effect.gen(function*() {
      yield* settle
      const tenants = yield* Effect.forEach(
        Array.from({ length: 12 }, (_, n) => `node-${n}`),
        (name) => makeTenant(name)
      )
      for (const tenant of tenants) yield* raise(tenant)
      const server = yield* MailServer.make()
      const node = mailer(server.port)
      yield* Effect.forEach(tenants, ({ client }) => mailed(client)).pipe(
        Effect.provide(Layer.mergeAll(Layer.fresh(node), Layer.fresh(node)))
      )
      const to = Array.from(yield* Queue.takeAll(server.mails), (mail) => mail.to[0])
      assert.sameMembers(to, tenants.map(({ client }) => `${client}@example.com`))
    }))

  it.scoped("nobody is told who has no address, has seen it already, or for whom it is no news", () =>
    Effect.gen(function*() {
      yield* settle
      const sql = yield* SqlClient.SqlClient
      const [silent, seen, late] = [
        yield* makeTenant("silent", null),
        yield* makeTenant("seen"),
        yield* makeTenant("late")
      ]
      yield* raise(silent)
      yield* Effect.flatMap(
        raise(seen),
        (id) => Effect.flatMap(AlertStore, (store) => store.acknowledge(Stores.everyone, id, null))
      )
      yield* raise(late)
      yield* sql`UPDATE alerts SET raised_at = now() - interval '4 days', mail_attempts = 80 WHERE client_id = ${late.client}`
      const mails = yield* AlertMails
      const server = yield* MailServer.make()
      assert.strictEqual(yield* mails.skip, 1, "and the one that was tried is given up")
      for (const { client } of [silent, seen, late]) assert.isEmpty(yield* owed(client))
      yield* raise(silent, { kind: "secret_expiring" })
      yield* mailed(silent.client).pipe(Effect.provide(mailer(server.port)))
      assert.strictEqual(yield* Queue.size(server.mails), 0)
    }))
})
