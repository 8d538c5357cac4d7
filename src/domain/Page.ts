/** One page of a list that is read newest first. */
export interface PageRequest {
  readonly limit: number
  /** Begin after the row with this id; null begins at the newest. */
  readonly after: string | null
}

export interface Page<A> {
  readonly data: ReadonlyArray<A>
  /** The id to go on from; null on the last page. */
  readonly next: string | null
}

/** Cuts a page out of `limit + 1` rows: the extra row only tells that there is more. */
export const fromRows = <A>(rows: ReadonlyArray<A>, request: PageRequest, idOf: (row: A) => string): Page<A> => {
  const data = rows.slice(0, request.limit)
  const last = data.at(-1)
  return { data, next: rows.length > request.limit && last !== undefined ? idOf(last) : null }
}
