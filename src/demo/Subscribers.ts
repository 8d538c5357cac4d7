/** The three webhooks of the story: who runs them, what they want, and where they live. */
import type { EventTypeName } from "../domain/EventType.ts"

export interface Subscriber {
  readonly name: string
  readonly path: string
  readonly flaky: boolean
  /** What is registered. */
  readonly events: ReadonlyArray<string>
  /** What should arrive, in words of its own: the service's matching is what is being tried here. */
  readonly wants: (eventType: EventTypeName) => boolean
  /** Null: the service makes one. */
  readonly secretKey: string | null
  readonly timeoutMs: number
}

const isDeal = (eventType: EventTypeName) => eventType.startsWith("deal.")
const isAccepted = (eventType: EventTypeName) => eventType === "proposal.accepted"

export const subscribers: ReadonlyArray<Subscriber> = [
  {
    name: "Sales board",
    path: "/vendas",
    flaky: false,
    events: ["deal.*"],
    wants: isDeal,
    secretKey: "chave-secreta",
    timeoutMs: 10_000
  },
  {
    name: "Contracts",
    path: "/contratos",
    flaky: false,
    events: ["proposal.accepted"],
    wants: isAccepted,
    secretKey: null,
    timeoutMs: 10_000
  },
  {
    name: "ERP (flaky)",
    path: "/erp",
    flaky: true,
    events: ["deal.*", "proposal.accepted"],
    wants: (eventType) => isDeal(eventType) || isAccepted(eventType),
    secretKey: null,
    // Short, so that waiting for an answer that never comes fits into a demo.
    timeoutMs: 1_000
  }
]

export const wantedBy = (eventType: EventTypeName): ReadonlyArray<Subscriber> =>
  subscribers.filter((subscriber) => subscriber.wants(eventType))
