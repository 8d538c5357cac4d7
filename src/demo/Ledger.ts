/** Everything that is known of the day so far: what the judge judges and what the board shows. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import type { Arrival, Recorded, Told } from "./Judge.ts"
import type { Answer } from "./Receiver.ts"
import type { Subscriber } from "./Subscribers.ts"

export interface Registration {
  readonly subscriber: Subscriber
  readonly webhookId: string
  readonly secret: string
}

export interface Answered extends Arrival {
  readonly answer: Answer
  readonly eventType: string
}

export interface State {
  readonly registrations: ReadonlyArray<Registration>
  /** By the event's name in the story, one for each time that it was published. */
  readonly told: ReadonlyMap<string, ReadonlyArray<Told>>
  readonly arrivals: ReadonlyArray<Answered>
  /** By delivery, as the service last told. */
  readonly statuses: ReadonlyMap<string, { readonly webhookId: string; readonly status: string }>
  /** By outcome, as the service counts them. */
  readonly attempts: ReadonlyMap<string, number>
  readonly recorded: ReadonlyArray<Recorded>
}

export class Ledger extends Context.Tag("deeper-hub-webhooks/demo/Ledger")<Ledger, Ref.Ref<State>>() {
  static readonly layer = Layer.effect(
    this,
    Ref.make<State>({
      registrations: [],
      told: new Map(),
      arrivals: [],
      statuses: new Map(),
      attempts: new Map(),
      recorded: []
    })
  )
}

export const read = Effect.flatMap(Ledger, Ref.get)

const write = (f: (state: State) => Partial<State>) =>
  Effect.flatMap(Ledger, (ledger) => Ref.update(ledger, (state) => ({ ...state, ...f(state) })))

export const register = (registration: Registration) =>
  write(({ registrations }) => ({ registrations: [...registrations, registration] }))

export const tell = (name: string, told: Told) =>
  write((state) => ({
    told: new Map(state.told).set(name, [...(state.told.get(name) ?? []), told]),
    // The first outcome may be on record before the publisher has read its answer.
    statuses: new Map([
      ...told.deliveries.map(({ id, webhookId }) => [id, { webhookId, status: "pending" }] as const),
      ...state.statuses
    ])
  }))

export const arrive = (arrival: Answered) => write(({ arrivals }) => ({ arrivals: [...arrivals, arrival] }))

export const follow = (deliveryId: string, webhookId: string, status: string) =>
  write(({ statuses }) => ({ statuses: new Map(statuses).set(deliveryId, { webhookId, status }) }))

export const count = (attempts: State["attempts"]) => write(() => ({ attempts }))

export const close = (recorded: ReadonlyArray<Recorded>) => write(() => ({ recorded }))
