/** Why a webhook got an event or did not, in one sentence for its owner. */
import * as DateTime from "effect/DateTime"
import type { DeliveryFacts, Member, Outcome, Subject, Wants } from "./Audience.ts"
import { wanted } from "./Audience.ts"

export const omission = (outcome: Outcome, event: Subject, member: Member, then: Wants): string => {
  switch (outcome) {
    case "created_later":
      return `The webhook was registered at ${said(member.createdAt)}, after the event was published.`
    case "not_subscribed":
      return `It asked for ${listed(then.events)} then, and ${event.eventType} is none of them${
        sinceThen(event, member)
      }.`
    case "switched_off":
      return `Its owner had switched it off then${member.deactivationReason === null ? "; it is on again now" : ""}.`
    case "about_itself":
      return "The notice is about this webhook, and a webhook is not told of itself."
    case "not_addressed":
      return "The event was a test that was sent to one other webhook alone."
    default:
      return "The webhook asked for the event, and was being changed in the moment in which it was published."
  }
}

const sinceThen = (event: Subject, member: Member): string =>
  wanted(event.eventType, member) ? "; it asks for it now" : ""

const shownMax = 5

const listed = (events: Wants["events"]): string =>
  events.length <= shownMax
    ? events.join(", ")
    : `${events.slice(0, shownMax).join(", ")} and ${events.length - shownMax} more`

export const delivery = (outcome: Outcome, delivery: DeliveryFacts, member: Member): string => {
  switch (outcome) {
    case "delivered":
      return `It was delivered with attempt ${delivery.attemptCount}.`
    case "in_progress":
      return `Attempt ${delivery.attemptCount + 1} is under way.`
    case "queued":
      return `It is due and takes its turn${failedBefore(delivery)}.`
    case "scheduled":
      return `It is sent again at ${said(delivery.nextRetryAt)}${failedBefore(delivery)}.`
    case "held":
      return held(delivery, member)
    case "deleted":
      return "The webhook was deleted before the event could be sent."
    default:
      return `It failed for good with attempt ${delivery.attemptCount}: ${delivery.errorMessage ?? "no more is known"}`
  }
}

const failedBefore = ({ attemptCount, errorClass }: DeliveryFacts): string =>
  attemptCount === 0 || errorClass === null ? "" : `; attempt ${attemptCount} failed (${errorClass})`

/** What it waits for, since when, and what ends it. */
const held = (delivery: DeliveryFacts, member: Member): string => {
  const since = `It is due since ${said(delivery.nextRetryAt)} and waits: `
  if (delivery.hold === "circuit") {
    return `${since}the endpoint kept failing, so nothing is sent to it until ${said(member.circuitUntil)}, ` +
      "when one delivery tries whether it is back."
  }
  const off = `switched off${member.deactivatedAt === null ? "" : ` at ${said(member.deactivatedAt)}`}`
  switch (member.deactivationReason) {
    case "gone":
      return `${since}the endpoint answered 410 Gone and the webhook was ${off}. Switching it on again sends it.`
    case "failures":
      return `${since}the webhook was ${off} because it kept failing. It is sent when the endpoint answers again` +
        `${member.healAt === null ? "" : ` (next look at ${said(member.healAt)})`}, or when the webhook is switched on.`
    default:
      return `${since}its owner has the webhook ${off}. Switching it on again sends it.`
  }
}

const said = (at: DateTime.Utc | null): string => at === null ? "an unknown time" : DateTime.formatIso(at)
