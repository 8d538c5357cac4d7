/** Loaded into the service's process beside the service: answers how the process is, after a full collection. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { readdirSync, readlinkSync } from "node:fs"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { answering } from "../support/Child.ts"

export interface Vitals {
  readonly rssMb: number
  readonly heapMb: number
  readonly fds: number
  readonly sockets: number
  /** Of Effect, in the whole process. */
  readonly fibers: number
  /** Of the event loop, since it was last asked. */
  readonly loopP99Ms: number
  readonly loopMaxMs: number
}

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

const resolutionMs = 5
const delay = monitorEventLoopDelay({ resolution: resolutionMs })
delay.enable()

const megabytes = (bytes: number): number => Math.round(bytes / 104_857.6) / 10
const ms = (nanoseconds: number): number => Math.max(0, Math.round(nanoseconds / 1e6 - resolutionMs))

const openFiles = (): ReadonlyArray<string> =>
  readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      return []
    }
  })

/** A fiber and all that it is the parent of. */
const countOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<number> =>
  Effect.flatMap(fiber.children, (children) => Effect.map(countAll(children), (count) => count + 1))

const countAll = (fibers: ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>>): Effect.Effect<number> =>
  Effect.reduce(fibers, 0, (sum, fiber) => Effect.map(countOf(fiber), (count) => sum + count))

answering(async (question) => {
  if (question !== "vitals") return null
  const loop = { loopP99Ms: ms(delay.percentile(99)), loopMaxMs: ms(delay.max) }
  collect()
  // What ended in the first collection is freed by finalizers before the second.
  await new Promise((resolve) => setImmediate(resolve))
  collect()
  delay.reset()
  const { heapUsed, rss } = process.memoryUsage()
  const files = openFiles()
  const fibers = await Effect.runPromise(Effect.flatMap(Fiber.roots, countAll))
  const vitals: Vitals = {
    rssMb: megabytes(rss),
    heapMb: megabytes(heapUsed),
    fds: files.length,
    sockets: files.filter((file) => file.startsWith("socket:")).length,
    fibers,
    ...loop
  }
  return vitals
})
