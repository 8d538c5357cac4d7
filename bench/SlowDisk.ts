/** A disk on which every fsync takes longer: programs are run under a shim that naps before each one. */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { chmod, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Failure } from "./Failure.ts"

export interface SlowDisk {
  /** Writes a program that is `program` on the slow disk, and answers where it is. */
  readonly wrap: (directory: string, program: string) => Effect.Effect<string>
}

const source = fileURLToPath(new URL("slowfsync.c", import.meta.url))

/** Compiles the shim into a directory that whoever runs the programs can enter. */
export const make = (directory: string, fsyncMs: number): Effect.Effect<SlowDisk, Failure> =>
  Effect.gen(function*() {
    const shim = join(directory, "slowfsync.so")
    yield* Effect.tryPromise({
      try: () => promisify(execFile)("cc", ["-O2", "-shared", "-fPIC", "-o", shim, source, "-ldl"]),
      catch: (cause) =>
        new Failure({
          problem: `The shim that makes fsync slow cannot be compiled: ${String(cause)}`,
          advice:
            "Install a C compiler as `cc` (Debian: apt-get install gcc libc6-dev), or leave out slow-fsync; Linux only"
        })
    })
    return {
      wrap: (directory, program) =>
        Effect.promise(async () => {
          const wrapper = join(directory, `slow-${program.split("/").at(-1) ?? ""}`)
          // exec keeps the pid, by which the program is measured and stopped.
          const script = `#!/bin/sh\nLD_PRELOAD='${shim}' FSYNC_DELAY_US=${fsyncMs * 1_000} exec '${program}' "$@"\n`
          await writeFile(wrapper, script)
          await chmod(wrapper, 0o755)
          return wrapper
        })
    }
  })
