/** Everything that one trial needs, each in a process of its own: Postgres, Redis where it is used, receiver, contender. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Address, Place, Route } from "./Contender.ts"
import type { Entry } from "./Contenders.ts"
import * as Cpu from "./Cpu.ts"
import * as DurablePostgres from "./DurablePostgres.ts"
import type { Failure } from "./Failure.ts"
import type { HostAnswers, Role } from "./host.ts"
import * as Process from "./Process.ts"
import type { Manners } from "./receiver.ts"
import * as Reception from "./Reception.ts"
import * as Redis from "./Redis.ts"
import type { SlowDisk } from "./SlowDisk.ts"
import * as Sql from "./Sql.ts"

export interface Scene {
  /** Types of event that are published; each goes to webhooks of its own. */
  readonly eventTypes: number
  /** Webhooks of each type. */
  readonly fanOut: number
  readonly manners: Manners
  readonly slowDisk: SlowDisk | null
  /** The database to work on, where an earlier trial has left something there; else a new one. */
  readonly database: DurablePostgres.DurablePostgres | null
  /** The receiver, where webhooks have its address already; else a new one. */
  readonly reception: Reception.Reception | null
  /** The folder for a CPU profile of the contender's process; null for none, which costs something. */
  readonly profiles: string | null
}

/** A receiver that answers at once, and everything new. */
export const plain = ({ profiles }: Pick<Scene, "profiles">): Scene => ({
  eventTypes: 16,
  fanOut: 1,
  manners: { answersAfterMs: 0, readsTimes: false },
  slowDisk: null,
  database: null,
  reception: null,
  profiles
})

export interface Stage {
  readonly entry: Entry
  readonly eventTypes: ReadonlyArray<string>
  readonly fanOut: number
  readonly sql: Sql.Sql
  readonly reception: Reception.Reception
  /** Where events are published. */
  readonly publisher: Process.Process<Address | null, HostAnswers>
  /** CPU seconds so far. */
  readonly cost: Effect.Effect<Cost>
  readonly memoryMiB: Effect.Effect<{ readonly now: number; readonly peak: number }>
}

/** CPU seconds. Whoever publishes in a process of its own is counted apart. */
export interface Cost {
  readonly sender: number
  readonly publisher: number
  readonly postgres: number
  readonly redis: number
}

/** To this type goes what is never answered. */
export const blackHoleType = "hole.one"

export const typeOf = (n: number): string => `bench.to${n}`

const routesOf = ({ eventTypes, fanOut }: Scene, url: string, blackHoleUrl: string): ReadonlyArray<Route> => [
  ...Array.from({ length: eventTypes }, (_, n) => ({
    eventType: typeOf(n),
    urls: Array.from({ length: fanOut }, () => url)
  })),
  { eventType: blackHoleType, urls: [blackHoleUrl] }
]

/** As `npm start` and the image run the service; the others may have them, too. */
const v8Flags = ["--max-semi-space-size=32", "--no-allocation-site-pretenuring", "--no-parallel-scavenge"]

const startHost = (role: Role, profiles: string | null = null) =>
  Process.start<Address | null, HostAnswers>(
    "host.ts",
    role,
    profiles === null
      ? v8Flags
      : [...v8Flags, "--cpu-prof", `--cpu-prof-dir=${profiles}`]
  )

export const set = (entry: Entry, scene: Scene): Effect.Effect<Stage, Failure, Scope.Scope> =>
  Effect.gen(function*() {
    const database = scene.database ?? (yield* DurablePostgres.start(scene.slowDisk))
    const sql = yield* Sql.connect(database.url)
    const reception = scene.reception ?? (yield* Reception.start(scene.manners))
    const redis = entry.needsRedis === true ? yield* Redis.start(scene.slowDisk) : null
    const place: Place = {
      databaseUrl: database.url,
      redisPort: redis?.port ?? 0,
      routes: routesOf(scene, reception.url, reception.blackHoleUrl),
      answersAfterMs: scene.manners.answersAfterMs,
      address: null
    }
    const host = yield* startHost({ contender: entry.name, part: "contender", place }, scene.profiles)
    const isApart = entry.loadPublisher !== undefined
    const publisher = isApart
      ? yield* startHost({ contender: entry.name, part: "publisher", place: { ...place, address: host.ready } })
      : host
    return {
      entry,
      eventTypes: Array.from({ length: scene.eventTypes }, (_, n) => typeOf(n)),
      fanOut: scene.fanOut,
      sql,
      reception,
      publisher,
      cost: Effect.sync(() => ({
        sender: Cpu.seconds(host.pid),
        publisher: isApart ? Cpu.seconds(publisher.pid) : 0,
        postgres: Cpu.seconds(database.pid),
        redis: redis === null ? 0 : Cpu.seconds(redis.pid)
      })),
      memoryMiB: Effect.sync(() => Cpu.memoryMiB(host.pid))
    }
  })
