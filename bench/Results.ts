/** What a run leaves: every value of every round as JSON, the tables in Markdown, and a plot. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { Arguments } from "./Arguments.ts"
import { machine, versions } from "./Machine.ts"
import type { Performed } from "./Performance.ts"
import * as Plot from "./Plot.ts"
import * as Table from "./Table.ts"

const markdown = (heading: string, performed: ReadonlyArray<Performed>): string =>
  [
    `# ${heading}`,
    versions(),
    ...performed.flatMap(({ failures, of, rows }) => [
      `## ${of.name}: ${of.about}`,
      Table.markdown(of, rows),
      ...failures.map((failure) => `Failed: ${failure.split("\n")[0]}`)
    ])
  ].join("\n\n") + "\n"

/** Written after every case, so that a run that is broken off has left what it measured. */
export const write = ({ isQuick, out, rounds, seconds }: Arguments, performed: ReadonlyArray<Performed>) =>
  Effect.gen(function*() {
    const at = DateTime.formatIso(DateTime.unsafeMake(yield* Clock.currentTimeMillis))
    const heading = `${at}, ${machine()}, ${rounds} round(s) of ${seconds} s${
      isQuick ? ", quick: figures mean little" : ""
    }`
    const cases = performed.map(({ failures, of, rows }) => ({ name: of.name, about: of.about, rows, failures }))
    yield* Effect.promise(async () => {
      await mkdir(out, { recursive: true })
      const json = JSON.stringify(
        { at, machine: machine(), versions: versions(), rounds, seconds, isQuick, cases },
        null,
        2
      )
      await writeFile(join(out, "results.json"), `${json}\n`)
      await writeFile(join(out, "results.md"), markdown(heading, performed))
      await writeFile(join(out, "results.svg"), Plot.svg(heading, performed))
    })
  })
