/**
 * Where the story is shown. In a terminal a board is redrawn in place, the whole of it in one write, so nothing
 * flickers; elsewhere there are only lines.
 */
import * as Ansi from "@effect/printer-ansi/Ansi"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"

export interface Styled {
  readonly text: string
  readonly style: Ansi.Ansi
}
/** Pieces of text, so that a line can be cut to the terminal's width without cutting an escape sequence. */
export type Line = ReadonlyArray<string | Styled>

const styled = (style: Ansi.Ansi) => (text: string): Styled => ({ text, style })
export const bold = styled(Ansi.bold)
export const dim = styled(Ansi.blackBright)
export const green = styled(Ansi.green)
export const yellow = styled(Ansi.yellow)
export const red = styled(Ansi.red)
export const cyan = styled(Ansi.cyan)

export class Screen extends Context.Tag("deeper-hub-webhooks/demo/Screen")<Screen, {
  /** Whether boards are shown at all. */
  readonly isLive: boolean
  /** Prints a line that stays. */
  readonly say: (...line: Line) => Effect.Effect<void>
  /** Shows this in the place of the board before; nothing where boards are not shown. */
  readonly draw: (board: ReadonlyArray<Line>) => Effect.Effect<void>
}>() {
  static readonly layer = Layer.scoped(this, Effect.suspend(() => make))
}

const escape = "\u001b["
const plain = `${escape}0m`
// A terminal that knows these shows all that is between them at once; the others ignore them.
const beginUpdate = `${escape}?2026h`
const endUpdate = `${escape}?2026l`

const boardWidth = 78
const boardHeight = 20

const make = Effect.gen(function*() {
  const out = process.stdout
  const isDumb = Effect.map(Config.withDefault(Config.string("TERM"), ""), (term) => term === "dumb")
  const isLive = out.isTTY && out.columns > boardWidth && out.rows > boardHeight && !(yield* Effect.orDie(isDumb))
  const hasColors = out.isTTY && out.hasColors()
  const height = yield* Ref.make(0)
  yield* ignoreFailures(out)

  const write = (text: string) => Effect.sync(() => out.write(text))
  const paint = (line: Line, width: number): string => {
    let left = width
    return line.map((piece) => {
      const text = (typeof piece === "string" ? piece : piece.text).slice(0, Math.max(left, 0))
      left -= text.length
      return typeof piece === "string" || !hasColors ? text : `${Ansi.stringify(piece.style)}${text}${plain}`
    }).join("")
  }
  if (isLive) yield* Effect.addFinalizer(() => write(Ansi.stringify(Ansi.cursorShow)))

  return Screen.of({
    isLive,
    say: (...line) => Effect.zipRight(Ref.set(height, 0), write(`${paint(line, Infinity)}\n`)),
    draw: (board) =>
      isLive
        ? Effect.flatMap(Ref.getAndSet(height, board.length), (before) => {
          const lines = board.map((line) => `${paint(line, out.columns)}${Ansi.stringify(Ansi.eraseEndLine)}\n`)
          const home = before === 0 ? "" : Ansi.stringify(Ansi.cursorPrevLine(before))
          return write(`${beginUpdate}${Ansi.stringify(Ansi.cursorHide)}${home}${lines.join("")}${endUpdate}`)
        })
        : Effect.void
  })
})

const ignore = () => {}

/**
 * Whoever reads along may leave (`| head`); the service must still be stopped in good order. For good, because a write
 * that failed says so later than the last line.
 */
const ignoreFailures = (out: NodeJS.WriteStream) => Effect.sync(() => out.on("error", ignore))
