/** Loaded into the service's process beside the service: answers how the process is, after a full collection. */
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
  const vitals: Vitals = {
    rssMb: megabytes(rss),
    heapMb: megabytes(heapUsed),
    fds: files.length,
    sockets: files.filter((file) => file.startsWith("socket:")).length,
    ...loop
  }
  return vitals
})
