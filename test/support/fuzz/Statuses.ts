/** How often which operation was answered with which status. */
export class Statuses {
  readonly #counts = new Map<string, Map<number, number>>()

  count(operation: string, status: number): void {
    const counts = this.#counts.get(operation) ?? new Map<number, number>()
    this.#counts.set(operation, counts.set(status, (counts.get(status) ?? 0) + 1))
  }

  of(operation: string): ReadonlyArray<string> {
    return Array.from(this.#counts.get(operation)?.keys() ?? [], String)
  }

  /** A line for each operation, a column for each status. */
  table(): string {
    const statuses = Array.from(
      new Set(Array.from(this.#counts.values(), (counts) => Array.from(counts.keys())).flat())
    )
      .toSorted((a, b) => a - b)
    const width = Math.max(...Array.from(this.#counts.keys(), (name) => name.length))
    const line = (name: string, cells: ReadonlyArray<number | string>) =>
      name.padEnd(width) + cells.map((cell) => String(cell).padStart(7)).join("")
    return [
      line("", statuses),
      ...Array.from(this.#counts, ([name, counts]) => line(name, statuses.map((status) => counts.get(status) ?? ".")))
    ].join("\n")
  }
}
