import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Queue } from "effect"
import * as Rows from "../support/ApiRows.ts"
import { ApiTest, expectStatus, make } from "../support/ApiTest.ts"
import { soon } from "../support/Eventually.ts"
import * as MailServer from "../support/MailServer.ts"
import * as PgTest from "../support/PgTest.ts"

class Mails extends Context.Tag("deeper-hub-webhooks/test/api/AlertMails.test/Mails")<Mails, MailServer.MailServer>() {
  static readonly layer = Layer.scoped(this, MailServer.make())
}

const Api = Layer.unwrapEffect(
  Effect.map(Mails, ({ port }) =>
    make({
      databaseUrl: PgTest.url,
      settings: { WEBHOOKS_SMTP_URL: `smtp://127.0.0.1:${port}`, WEBHOOKS_SMTP_FROM: "hooks@example.com" }
    }))
).pipe(Layer.provideMerge(PgTest.layer), Layer.provideMerge(Mails.layer))

layer(Api, { timeout: "60 seconds", excludeTestServices: true })("Mails of alerts", (it) => {
  it.scoped("go to the address that an operator gave the client, from the address of the settings", () =>
    Effect.gen(function*() {
      const { newTenant, operator } = yield* ApiTest
      const { client, id } = yield* newTenant
      expectStatus(yield* operator.patch(`/api/clients/${id}`, { alert_email: "ops@acme.example" }), 200)
      const gone = yield* Rows.receiver({ status: 410 })
      yield* Rows.register(client, { name: "CRM", url: `${gone.url().href}?token=canary`, events: ["mail.gone"] })
      yield* Rows.deliver(client, "mail.gone")
      const mail = yield* soon(Queue.take((yield* Mails).mails))
      assert.deepInclude(mail, { from: "hooks@example.com", to: ["ops@acme.example"] })
      assert.strictEqual(mail.headers["subject"], "Webhook CRM was switched off")
      assert.include(mail.text, "410")
      assert.notInclude(mail.text, "canary")
      const { actors } = yield* Rows.read(operator, "/api/system")
      assert.include(actors.map(({ name }: { name: string }) => name), "AlertMailer")
    }))
})
