/** Everybody who takes part, by name, and what each needs. */
import type { Make } from "./Contender.ts"
import * as Outcomes from "./Outcomes.ts"

export interface Entry {
  readonly name: string
  readonly outcomes: Outcomes.Outcomes
  readonly load: () => Promise<Make>
  /** Where who publishes is in a process of its own. */
  readonly loadPublisher?: () => Promise<Make>
  /** Whose packages `bench/package.json` has. */
  readonly isPeer?: boolean
  readonly needsRedis?: boolean
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
  },
  {
    name: "graphile-worker",
    outcomes: Outcomes.ofAttemptLog,
    isPeer: true,
    load: async () => (await import("./peers/GraphileWorker.ts")).make
  },
  {
    name: "pg-boss",
    outcomes: Outcomes.ofAttemptLog,
    isPeer: true,
    load: async () => (await import("./peers/PgBoss.ts")).make({ notifies: false })
  },
  {
    name: "pg-boss-notify",
    outcomes: Outcomes.ofAttemptLog,
    isPeer: true,
    load: async () => (await import("./peers/PgBoss.ts")).make({ notifies: true })
  },
  {
    name: "pg-boss-10",
    outcomes: Outcomes.ofAttemptLog,
    isPeer: true,
    load: async () => (await import("./peers/PgBoss10.ts")).make
  },
  {
    name: "bullmq",
    outcomes: Outcomes.ofAttemptLog,
    isPeer: true,
    needsRedis: true,
    load: async () => (await import("./peers/BullMq.ts")).make({ groupsLog: false })
  },
  {
    name: "bullmq-group-log",
    outcomes: Outcomes.ofAttemptLog,
    isPeer: true,
    needsRedis: true,
    load: async () => (await import("./peers/BullMq.ts")).make({ groupsLog: true })
  }
]

/** But for pg-boss with notifications, which is another choice of the same, and matters where latency does. */
export const everybody = entries.map(({ name }) => name).filter((name) => name !== "pg-boss-notify")
