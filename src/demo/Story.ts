/**
 * A business day of a CRM: leads that become deals, deals that get proposals, proposals that are accepted or not, and
 * integrations that run beside them. The same seed tells the same day.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { EventTypeName } from "../domain/EventType.ts"
import type { JsonObject } from "../domain/Json.ts"
import { redacted } from "../domain/SensitiveData.ts"
import * as Names from "./Names.ts"
import * as Payloads from "./Payloads.ts"

export interface StoryEvent {
  /** No two events of a day have the same one: it is the Idempotency-Key, too. */
  readonly name: string
  readonly eventType: EventTypeName
  /** Seconds after the office opened. */
  readonly second: number
  readonly occurredAt: DateTime.Utc
  readonly payload: JsonObject
  /** The payload as a receiver has to find it. */
  readonly arriving: JsonObject
}

const opening = DateTime.unsafeMake("2025-02-20T12:00:00Z")
const saoPaulo = { hours: -3 } as const
export const secondsOfDay = 9 * 3_600
const leads = 46

/** What the clock on the office's wall shows. */
export const wallClock = (second: number): string => {
  const { hours } = DateTime.toPartsUtc(DateTime.add(opening, { seconds: second, ...saoPaulo }))
  const { minutes } = DateTime.toPartsUtc(DateTime.add(opening, { seconds: second }))
  return `${String(hours).padStart(2, "0")}:${String(minutes).padStart(2, "0")}`
}

/** Local time with its offset, as the CRM writes it. */
export const localTime = (at: DateTime.Utc): string =>
  DateTime.formatIsoOffset(DateTime.setZoneOffset(at, saoPaulo.hours * 3_600_000))

/** An event before its second of the day is certain. */
interface Scene {
  readonly type: string
  readonly payload: JsonObject
  readonly arriving?: JsonObject
}

export const make = (seed: number): Effect.Effect<ReadonlyArray<StoryEvent>> =>
  Effect.gen(function*() {
    const chains = yield* Effect.forEach(Array.from({ length: leads }, (_, i) => 1_001 + i), opportunity)
    const all = [...chains.flat(), ...(yield* integrations)]
    const day = all.filter(({ second }) => second < secondsOfDay).toSorted((a, b) => a.second - b.second)
    return oneAfterTheOther(day)
  }).pipe(Effect.withRandom(Random.make(seed)))

interface Timed {
  readonly second: number
  readonly scene: Scene
}

const opportunity = (number: number): Effect.Effect<ReadonlyArray<Timed>> =>
  Effect.gen(function*() {
    const scenes = yield* scenesOf({
      number,
      contact: yield* Random.choice(Names.people),
      company: yield* Random.choice(Names.companies),
      title: yield* Random.choice(Names.titles),
      origin: yield* Random.choice(Names.origins),
      // One in three is a round sum, which only a float keeps its cents of.
      cents: (yield* Random.nextIntBetween(9, 900)) * ((yield* chance(0.33)) ? 10_000 : 9_973),
      cpf: `${yield* digits(3)}.${yield* digits(3)}.${yield* digits(3)}-${yield* digits(2)}`
    })
    let second = yield* Random.nextIntBetween(0, 6 * 3_600)
    const timed: Array<Timed> = []
    for (const scene of scenes) {
      timed.push({ second, scene })
      second += yield* Random.nextIntBetween(240, 2_400)
    }
    return timed
  }).pipe(Effect.orDie)

const scenesOf = (one: Payloads.Opportunity): Effect.Effect<ReadonlyArray<Scene>> =>
  Effect.gen(function*() {
    const scenes: Array<Scene> = [{ type: "lead.created", payload: Payloads.lead(one, "novo") }]
    if (yield* chance(0.5)) scenes.push({ type: "lead.updated", payload: Payloads.lead(one, "em contato") })
    if (!(yield* chance(0.8))) return scenes
    scenes.push(
      { type: "lead.converted", payload: Payloads.lead(one, "convertido") },
      { type: "deal.created", payload: Payloads.deal(one, "new") }
    )
    if (yield* chance(0.5)) scenes.push({ type: "deal.updated", payload: Payloads.deal(one, "open") })
    scenes.push(
      { type: "deal.stage_changed", payload: Payloads.deal(one, "open", { de: "Qualificação", para: "Negociação" }) },
      { type: "proposal.created", payload: Payloads.proposal(one, "rascunho") },
      { type: "proposal.sent", payload: Payloads.proposal(one, "enviada") }
    )
    return [...scenes, ...((yield* chance(0.65)) ? won(one) : lost(one, yield* Random.choice(Names.lossReasons)))]
  }).pipe(Effect.orDie)

const won = (one: Payloads.Opportunity): ReadonlyArray<Scene> => [
  {
    type: "proposal.accepted",
    payload: Payloads.proposal(one, "aceita", Payloads.signature(one, one.cpf)),
    arriving: Payloads.proposal(one, "aceita", Payloads.signature(one, redacted))
  },
  { type: "deal.won", payload: Payloads.deal(one, "won", Payloads.invoice(one)) }
]

const lost = (one: Payloads.Opportunity, reason: string): ReadonlyArray<Scene> => [
  { type: "proposal.rejected", payload: Payloads.proposal(one, "recusada", { motivo: reason }) },
  { type: "deal.lost", payload: Payloads.deal(one, "lost", { motivo: reason }) }
]

/** Connected in the morning, then a run about every hour that now and then fails. */
const integrations: Effect.Effect<ReadonlyArray<Timed>> = Effect.forEach(
  Names.systems,
  (system) =>
    Effect.gen(function*() {
      let second = yield* Random.nextIntBetween(0, 900)
      const timed: Array<Timed> = [
        { second, scene: { type: "integration.connected", payload: Payloads.integration(system, "conectado") } }
      ]
      for (let run = 0; run < 8; run++) {
        second += yield* Random.nextIntBetween(3_000, 4_200)
        const [type, payload] = (yield* chance(0.15))
          ? ["integration.error", Payloads.integration(system, "erro")]
          : ["integration.sync_completed", Payloads.integration(system, "ok", { registros: (run + 3) * 117 })]
        timed.push({ second, scene: { type, payload } })
      }
      return timed
    })
).pipe(Effect.map((timed) => timed.flat()))

/** No two events share a second, so that a receiver may tell them apart by their time. */
const oneAfterTheOther = (day: ReadonlyArray<Timed>): ReadonlyArray<StoryEvent> => {
  let previous = -1
  return day.map(({ scene: { arriving, payload, type }, second }, index) => {
    previous = Math.max(second, previous + 1)
    return {
      name: `crm-${String(index + 1).padStart(4, "0")}-${type}`,
      eventType: EventTypeName.make(type),
      second: previous,
      occurredAt: DateTime.add(opening, { seconds: previous }),
      payload,
      arriving: arriving ?? payload
    }
  })
}

const chance = (probability: number) => Effect.map(Random.next, (drawn) => drawn < probability)

const digits = (count: number) =>
  Effect.map(Random.nextIntBetween(0, 10 ** count), (drawn) => String(drawn).padStart(count, "0"))
