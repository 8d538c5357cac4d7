/**
 * What is used of the peers. They are installed by `npm run bench` alone, and the types have to be checked without them.
 */
declare module "graphile-worker" {
  import type { Pool } from "pg"

  export interface Logger {
    readonly scope: unknown
  }
  export const Logger: new(make: (scope: unknown) => (level: string, message: string) => void) => Logger
  interface Spec {
    readonly maxAttempts: number
  }
  export interface WorkerUtils {
    readonly addJob: (identifier: string, payload: unknown, spec: Spec) => Promise<unknown>
    readonly addJobs: (
      jobs: ReadonlyArray<Spec & { readonly identifier: string; readonly payload: unknown }>
    ) => Promise<unknown>
    readonly release: () => Promise<void> | void
  }
  export const makeWorkerUtils: (
    options: { readonly pgPool: Pool; readonly logger: Logger }
  ) => Promise<WorkerUtils>
  export const runMigrations: (
    options: { readonly connectionString: string; readonly logger: Logger }
  ) => Promise<void>
  export const run: (options: {
    readonly noHandleSignals: boolean
    readonly logger: Logger
    readonly preset: { readonly worker: Readonly<Record<string, unknown>> }
    readonly taskList: Readonly<
      Record<string, (payload: unknown, helpers: { readonly job: { readonly attempts: number } }) => Promise<void>>
    >
  }) => Promise<{ readonly stop: () => Promise<void> }>
}

declare module "pg-boss" {
  export class PgBoss {
    constructor(options: Readonly<Record<string, unknown>>)
    on(event: "error" | "warning", listener: () => void): this
    start(): Promise<unknown>
    stop(options: { readonly graceful: boolean }): Promise<void>
    createQueue(name: string, options: Readonly<Record<string, unknown>>): Promise<void>
    work<A>(
      name: string,
      options: Readonly<Record<string, unknown>>,
      handler: (
        jobs: ReadonlyArray<{ readonly id: string; readonly data: A }>
      ) => Promise<ReadonlyArray<{ readonly id: string; readonly status: string }>>
    ): Promise<string>
    send(name: string, data: object): Promise<unknown>
    insert(name: string, jobs: ReadonlyArray<{ readonly data: object }>): Promise<unknown>
  }
}

declare module "pg-boss-10" {
  export default class PgBoss {
    constructor(options: Readonly<Record<string, unknown>>)
    on(event: "error", listener: () => void): this
    start(): Promise<unknown>
    stop(options: { readonly graceful: boolean }): Promise<void>
    createQueue(name: string, options: Readonly<Record<string, unknown>>): Promise<void>
    work<A>(
      name: string,
      options: Readonly<Record<string, unknown>>,
      handler: (jobs: ReadonlyArray<{ readonly data: A }>) => Promise<void>
    ): Promise<string>
    notifyWorker(id: string): void
    send(name: string, data: object): Promise<unknown>
    insert(jobs: ReadonlyArray<{ readonly name: string; readonly data: object }>): Promise<unknown>
  }
}

declare module "ioredis" {
  export class Redis {
    constructor(port: number, host: string, options: Readonly<Record<string, unknown>>)
    on(event: "error", listener: () => void): this
    disconnect(): void
  }
}

declare module "bullmq" {
  import type { Redis } from "ioredis"

  export class Queue<A> {
    constructor(
      name: string,
      options: { readonly connection: Redis; readonly defaultJobOptions: Readonly<Record<string, unknown>> }
    )
    add(name: string, data: A): Promise<unknown>
    addBulk(jobs: ReadonlyArray<{ readonly name: string; readonly data: A }>): Promise<unknown>
    close(): Promise<void>
  }
  export class Worker<A> {
    constructor(
      name: string,
      processor: (job: { readonly data: A; readonly attemptsMade: number }) => Promise<void>,
      options: { readonly connection: Redis; readonly concurrency: number; readonly drainDelay: number }
    )
    on(event: "error", listener: () => void): this
    waitUntilReady(): Promise<unknown>
    close(force: boolean): Promise<void>
  }
}
