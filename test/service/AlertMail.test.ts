import { assert, describe, it } from "@effect/vitest"
import { DateTime } from "effect"
import { AlertKind } from "../../src/domain/Alert.ts"
import { EmailAddress } from "../../src/domain/EmailAddress.ts"
import * as Ids from "../../src/domain/Ids.ts"
import type { OwedAlert } from "../../src/persistence/AlertMails.ts"
import * as AlertMail from "../../src/service/AlertMail.ts"

const uuid = (n: number) => `0194fdc2-fa2f-7cc0-81d3-${String(n).padStart(12, "0")}`

const alert = (change: Partial<OwedAlert> = {}): OwedAlert => ({
  id: Ids.fromUuid("AlertId", uuid(1)),
  kind: "webhook_deactivated",
  severity: "critical",
  message: "It failed for 20 minutes.",
  occurrences: 1,
  raisedAt: DateTime.unsafeMake("2025-02-20T09:34:00.123Z"),
  resolvedAt: null,
  webhookId: Ids.fromUuid("WebhookId", uuid(2)),
  webhookName: "CRM",
  webhookUrl: "https://user:canary@example.com/hook?token=canary#canary",
  ...change
})

const compose = (...alerts: readonly [OwedAlert, ...ReadonlyArray<OwedAlert>]) =>
  AlertMail.compose({ clientId: Ids.ClientId.make("acme"), to: EmailAddress.make("ops@acme.example"), alerts })

describe("a mail about alerts", () => {
  it("says what happened, to which webhook, since when, and what to do", () => {
    const { subject, text, to } = compose(alert({ occurrences: 3 }))
    assert.strictEqual(to, "ops@acme.example")
    assert.strictEqual(subject, "Webhook CRM was switched off")
    for (
      const part of [
        "the client acme",
        "CRITICAL: webhook CRM was switched off",
        "It failed for 20 minutes.",
        `CRM (${alert().webhookId}), https://example.com/hook\n`,
        "2025-02-20 09:34:00 UTC, seen 3 times",
        "What to do:    Mend your endpoint.",
        alert().id
      ]
    ) assert.include(text, part)
  })

  it("shows nothing of a URL that may be secret", () => {
    const { subject, text } = compose(alert({ webhookName: null }))
    assert.notInclude(subject + text, "canary")
    assert.strictEqual(subject, "Webhook example.com was switched off")
  })

  it("of several has them all, each with its own webhook", () => {
    const other = alert({
      id: Ids.fromUuid("AlertId", uuid(3)),
      webhookId: Ids.fromUuid("WebhookId", uuid(4)),
      webhookName: "ERP",
      kind: "high_latency",
      severity: "warning"
    })
    const { subject, text } = compose(alert(), other)
    assert.strictEqual(subject, "2 alerts about 2 webhooks")
    assert.isBelow(text.indexOf("webhook CRM was switched off"), text.indexOf("webhook ERP takes long to answer"))
    const same = compose(alert(), alert({ id: other.id, kind: "consecutive_failures" }))
    assert.strictEqual(same.subject, "2 alerts about webhook CRM")
  })

  it("says so where it is over", () => {
    const { text } = compose(alert({ resolvedAt: DateTime.unsafeMake("2025-02-20T10:00:00Z") }))
    assert.include(text, "Over since:    2025-02-20 10:00:00 UTC")
    assert.include(text, "Nothing, it is over.")
  })

  it("is the same mail when it is sent again, and another with other alerts", () => {
    const other = alert({ id: Ids.fromUuid("AlertId", uuid(3)) })
    assert.strictEqual(compose(alert()).id, compose(alert({ occurrences: 9 })).id)
    assert.notStrictEqual(compose(alert()).id, compose(alert(), other).id)
    assert.match(compose(alert()).id, /^[0-9a-f]{32}$/)
  })

  it("keeps a name and a message on their lines", () => {
    const { subject, text } = compose(alert({ webhookName: "A\r\nBcc: x@y\u2028B", message: "one\n\ntwo" }))
    assert.strictEqual(subject, "Webhook A Bcc: x@y B was switched off")
    assert.include(text, "What happened: one two\n")
  })

  it("knows every kind of alert", () => {
    const subjects = AlertKind.literals.map((kind) => compose(alert({ kind })).subject)
    assert.strictEqual(new Set(subjects).size, AlertKind.literals.length)
  })
})
