/**
 * What was promised against what came: pure, so that a test can show what it would find. It knows nothing of how either
 * ledger was filled.
 */

/** The API's answer to a publisher, with the body that has to follow from it. */
export interface Told {
  readonly eventId: string
  readonly body: string
  readonly deliveries: ReadonlyArray<{ readonly id: string; readonly webhookId: string }>
}

/** An event of the story, the webhooks that should get it, and every answer that its publisher got. */
interface Due {
  readonly name: string
  readonly webhookIds: ReadonlyArray<string>
  readonly told: ReadonlyArray<Told>
}

/** A request at a receiver, whatever that made of it. */
export interface Arrival {
  /** Whose address it came to. */
  readonly webhookId: string
  /** What its headers and body say. */
  readonly says: { readonly webhookId: string; readonly deliveryId: string; readonly eventId: string }
  readonly body: string
  /** Signatures that are missing or not right. */
  readonly wrong: ReadonlyArray<string>
  readonly accepted: boolean
}

/** A delivery in the service's own account. */
export interface Recorded {
  readonly deliveryId: string
  readonly webhookId: string
  readonly status: string
  readonly attempts: number
}

export interface Ledgers {
  /** Names of the webhooks, by id. */
  readonly webhooks: ReadonlyMap<string, string>
  readonly due: ReadonlyArray<Due>
  readonly arrivals: ReadonlyArray<Arrival>
  readonly recorded: ReadonlyArray<Recorded>
}

/** Each of them a list of what is concerned, empty where all is well. */
export interface Findings {
  /** The API did not take it in. */
  readonly unpublished: ReadonlyArray<string>
  /** One Idempotency-Key, more than one event. */
  readonly doubled: ReadonlyArray<string>
  /** No receiver has accepted it. */
  readonly missing: ReadonlyArray<string>
  readonly altered: ReadonlyArray<string>
  readonly unverified: ReadonlyArray<string>
  /** Nobody had asked for it there, or it came as another delivery than the publisher was told of. */
  readonly unexpected: ReadonlyArray<string>
  /** The service's account does not say `delivered`. */
  readonly unsettled: ReadonlyArray<string>
}

export const judge = ({ arrivals, due, recorded, webhooks }: Ledgers): Findings => {
  const known = new Map(due.flatMap((one) => one.told.map((told) => [told.eventId, { due: one, told }] as const)))
  const accepted = new Set(arrivals.filter((arrival) => arrival.accepted).map(placeOf))
  const delivered = new Set(recorded.filter(({ status }) => status === "delivered").map(({ deliveryId }) => deliveryId))
  const promised = due.flatMap(({ name, told: [told], webhookIds }) =>
    told === undefined ? [] : webhookIds.map((webhookId) => ({
      webhookId,
      eventId: told.eventId,
      label: `${name} at ${webhooks.get(webhookId) ?? webhookId}`,
      deliveryId: told.deliveries.find((delivery) => delivery.webhookId === webhookId)?.id
    }))
  )
  const promisedIds = new Set(promised.map(({ deliveryId }) => deliveryId))
  const label = ({ says: { eventId }, webhookId }: Arrival) =>
    `${known.get(eventId)?.due.name ?? eventId} at ${webhooks.get(webhookId) ?? webhookId}`
  const isPromised = ({ says, webhookId }: Arrival) =>
    says.webhookId === webhookId &&
    promised.some((one) =>
      one.eventId === says.eventId && one.webhookId === webhookId && one.deliveryId === says.deliveryId
    )

  return {
    unpublished: due.filter(({ told }) => told.length === 0).map(({ name }) => name),
    doubled: due.filter(({ told }) => new Set(told.map(({ eventId }) => eventId)).size > 1).map(({ name }) => name),
    missing: promised.filter((one) => !accepted.has(`${one.eventId} ${one.webhookId}`)).map((one) => one.label),
    altered: arrivals
      .filter(({ body, says: { eventId } }) => known.has(eventId) && body !== known.get(eventId)?.told.body)
      .map(label),
    unverified: arrivals
      .filter(({ wrong }) => wrong.length > 0)
      .map((arrival) => `${label(arrival)} (${arrival.wrong.join(", ")})`),
    unexpected: [
      ...arrivals.filter((arrival) => !isPromised(arrival)).map(label),
      ...recorded.filter(({ deliveryId }) => !promisedIds.has(deliveryId)).map(({ deliveryId, webhookId }) =>
        `${deliveryId} at ${webhooks.get(webhookId) ?? webhookId}`
      )
    ],
    unsettled: promised.filter(({ deliveryId }) => deliveryId === undefined || !delivered.has(deliveryId))
      .map((one) => one.label)
  }
}

const placeOf = ({ says: { eventId }, webhookId }: Arrival): string => `${eventId} ${webhookId}`

const sentences: Record<keyof Findings, string> = {
  unpublished: "not taken in by the API",
  doubled: "published twice under one Idempotency-Key",
  missing: "missing at its receiver",
  altered: "arrived other than it was published",
  unverified: "signed wrongly",
  unexpected: "arrived where nobody expected it",
  unsettled: "not delivered in the service's own account"
}

export const isClean = (findings: Findings): boolean => Object.values(findings).every((found) => found.length === 0)

const examplesMax = 5

/** What is wrong, in words; nothing where all is well. */
export const describe = (findings: Findings): ReadonlyArray<string> =>
  Object.entries(sentences).flatMap(([kind, sentence]) => {
    const found = findings[kind as keyof Findings]
    if (found.length === 0) return []
    const examples = found.slice(0, examplesMax).concat(found.length > examplesMax ? ["…"] : [])
    return [`  ${found.length} ${sentence}:`].concat(examples.map((one) => `    ${one}`))
  })
