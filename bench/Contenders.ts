/** Everybody who takes part, by name, and what each needs. */
import type { Make } from "./Contender.ts"
import * as Outcomes from "./Outcomes.ts"

export interface Entry {
  readonly name: string
  readonly outcomes: Outcomes.Outcomes
  readonly load: () => Promise<Make>
  /** Where who publishes is in a process of its own. */
  readonly loadPublisher?: () => Promise<Make>
}

const http = async (batch: number, connections: number) =>
  (await import("./service/HttpPublisher.ts")).make({ batch, connections })

export const entries: ReadonlyArray<Entry> = [
  {
    name: "in-process",
    outcomes: Outcomes.ofService,
    load: async () => (await import("./service/Embedded.ts")).make
  },
  {
    name: "http",
    outcomes: Outcomes.ofService,
    load: async () => (await import("./service/Served.ts")).make,
    loadPublisher: () => http(1, 64)
  },
  {
    name: "http-batch",
    outcomes: Outcomes.ofService,
    load: async () => (await import("./service/Served.ts")).make,
    loadPublisher: () => http(100, 8)
  },
  {
    name: "raw",
    outcomes: Outcomes.ofAttemptLog,
    load: async () => (await import("./ceilings/Raw.ts")).make({ claims: false })
  },
  {
    name: "raw-claims",
    outcomes: Outcomes.ofAttemptLog,
    load: async () => (await import("./ceilings/Raw.ts")).make({ claims: true })
  }
]
