/** Group commit by hand: while a write is under way callers queue up, and the next write takes them all. */

const batchMax = 500

/** `write` fails nobody: what goes wrong it tells those who wait. */
export const make = <A>(write: (batch: ReadonlyArray<A>) => Promise<void>, lanes = 1): (item: A) => void => {
  const queue: Array<A> = []
  let busy = 0
  const drain = async () => {
    while (queue.length > 0) await write(queue.splice(0, batchMax))
    busy -= 1
  }
  return (item) => {
    queue.push(item)
    if (busy >= lanes) return
    busy += 1
    // What else comes in this turn of the event loop comes along.
    setImmediate(() => void drain())
  }
}
