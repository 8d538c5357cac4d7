/** What a mail about alerts says: what happened, to which webhook, since when, and what to do about it. */
import * as DateTime from "effect/DateTime"
import { createHash } from "node:crypto"
import type { AlertKind } from "../domain/Alert.ts"
import type { EmailAddress } from "../domain/EmailAddress.ts"
import type { ClientId } from "../domain/Ids.ts"
import type { OwedAlert } from "../persistence/AlertMails.ts"
import * as Spans from "../telemetry/Spans.ts"
import type { Mail } from "../transport/Mailer.ts"

/** Follows the webhook's name. */
const happened: Readonly<Record<AlertKind, string>> = {
  certificate_error: "has a certificate that is not accepted",
  certificate_expiring: "has a certificate that ends soon",
  consecutive_failures: "fails again and again",
  delivery_quarantined: "has a delivery that was given up",
  high_latency: "takes long to answer",
  secret_expiring: "has a secret that ends soon",
  webhook_deactivated: "was switched off",
  webhook_reactivated: "was switched on again"
}

const advice: Readonly<Record<AlertKind, string>> = {
  certificate_error:
    "Have the server behind the URL show a certificate that is valid for its name, with the whole chain of its authority.",
  certificate_expiring:
    "Renew the certificate of the server behind the URL before it ends; after that nothing is delivered.",
  consecutive_failures:
    "Look at the answers of your endpoint (GET /api/webhooks/{id}/deliveries) and mend it. Deliveries are tried again; " +
    "if it goes on, the webhook is switched off.",
  delivery_quarantined:
    "Look at the delivery (GET /api/deliveries/{id}), and send it again (POST /api/deliveries/{id}/retry) if you want it.",
  high_latency: "Have your endpoint answer first and do its work afterwards: it is waited for only so long.",
  secret_expiring:
    "Rotate the secret (POST /api/webhooks/{id}/secret/rotate); the old one and the new one both sign for a while.",
  webhook_deactivated:
    "Mend your endpoint. Deliveries wait meanwhile; they are sent once the webhook is switched on again " +
    "(PATCH /api/webhooks/{id} with {\"is_active\": true}).",
  webhook_reactivated: "Nothing: what waited is on its way."
}

export interface AlertMailInput {
  readonly clientId: ClientId
  readonly to: EmailAddress
  readonly alerts: readonly [OwedAlert, ...ReadonlyArray<OwedAlert>]
}

export const compose = ({ alerts, clientId, to }: AlertMailInput): Mail => ({
  to,
  subject: subjectOf(alerts),
  text: [
    `This is about webhooks of the client ${clientId}.`,
    ...alerts.map(paragraph),
    "All alerts: GET /api/alerts. Say that you have seen one: POST /api/alerts/{id}/acknowledge.\n" +
    `You get this mail because the operator set ${to} as the client's address for alerts.`
  ].join("\n\n") + "\n",
  id: createHash("sha256").update(alerts.map(({ id }) => id).join()).digest("hex").slice(0, 32)
})

const subjectOf = (alerts: AlertMailInput["alerts"]): string => {
  const [first, ...others] = alerts
  if (others.length === 0) return `Webhook ${nameOf(first)} ${happened[first.kind]}`
  const webhooks = new Set(alerts.map(({ webhookId }) => webhookId)).size
  return `${alerts.length} alerts about ${webhooks === 1 ? `webhook ${nameOf(first)}` : `${webhooks} webhooks`}`
}

const paragraph = (alert: OwedAlert): string => {
  const { id, kind, message, occurrences, raisedAt, resolvedAt, severity, webhookId, webhookUrl } = alert
  return [
    `${severity.toUpperCase()}: webhook ${nameOf(alert)} ${happened[kind]}`,
    `  What happened: ${inOneLine(message)}`,
    `  Webhook:       ${nameOf(alert)} (${webhookId}), ${Spans.withoutSecrets(webhookUrl)}`,
    `  Since:         ${moment(raisedAt)}${occurrences > 1 ? `, seen ${occurrences} times` : ""}`,
    ...(resolvedAt === null ? [] : [`  Over since:    ${moment(resolvedAt)}`]),
    `  What to do:    ${resolvedAt === null ? advice[kind] : "Nothing, it is over."}`,
    `  Alert:         ${id}`
  ].join("\n")
}

/** Its owner's name for it; where there is none, where it points to. */
const nameOf = ({ webhookName, webhookUrl }: OwedAlert): string =>
  webhookName === null ? hostOf(webhookUrl) : inOneLine(webhookName)

const hostOf = (url: string): string => URL.canParse(url) ? new URL(url).host : "without a name"

const inOneLine = (text: string): string => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim()

const moment = (at: DateTime.Utc): string => `${DateTime.formatIso(at).slice(0, 19).replace("T", " ")} UTC`
