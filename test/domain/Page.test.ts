import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Page from "../../src/domain/Page.ts"

const ids = FastCheck.uniqueArray(FastCheck.uuid(), { maxLength: 40 }).map((all) => all.toSorted().toReversed())
const limit = FastCheck.integer({ min: 1, max: 12 })

/** What a store answers: up to `limit + 1` rows behind the cursor. */
const rowsAfter = (all: ReadonlyArray<string>, { after, limit }: Page.PageRequest) =>
  all.filter((id) => after === null || id < after).slice(0, limit + 1)

describe("Page.fromRows", () => {
  it.prop("never answers more than was asked for", [ids, limit], ([all, limit]) => {
    const page = Page.fromRows(rowsAfter(all, { limit, after: null }), { limit, after: null }, (id) => id)
    assert.deepStrictEqual(page.data, all.slice(0, limit))
    assert.strictEqual(page.next, all.length > limit ? all[limit - 1] : null)
  })

  it.prop("leads through every row once, in order, and then ends", [ids, limit], ([all, limit]) => {
    const seen: Array<string> = []
    let request: Page.PageRequest | null = { limit, after: null }
    let pages = 0
    while (request !== null) {
      const page: Page.Page<string> = Page.fromRows(rowsAfter(all, request), request, (id) => id)
      seen.push(...page.data)
      pages += 1
      request = page.next === null ? null : { limit, after: page.next }
    }
    assert.deepStrictEqual(seen, all)
    assert.strictEqual(pages, Math.max(1, Math.ceil(all.length / limit)))
  })
})
