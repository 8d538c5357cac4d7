/**
 * What a statement says of tenants, read from its text: for each query in it (a CTE, a subselect, an arm of a union)
 * the tables that it touches, and whether each of them is restricted to one client. It knows the SQL of this project,
 * and takes what it does not know for unrestricted.
 */

/** A table as the database has it; `null` where its rows belong to a client only by way of another row. */
export type TenantTables = ReadonlyMap<string, string | null>

interface Statement {
  readonly text: string
  readonly values: ReadonlyArray<unknown>
}

type Tokens = ReadonlyArray<string>

interface Source {
  readonly table: string
  readonly alias: string
}

/** The tables of tenants that the statement touches without naming this client, with the query that does. */
export const unrestricted = (
  { text, values }: Statement,
  client: string,
  tables: TenantTables
): ReadonlyArray<string> =>
  queries(tokenize(text)).flatMap((query) => {
    const sources = sourcesIn(query)
    const restricted = restrictedIn(query, sources, tables, (token) =>
      /^\$\d+$/.test(token) && values[Number(token.slice(1)) - 1] === client)
    return [
      ...sources.filter(({ alias, table }) =>
        tables.has(table) && !restricted.has(alias)
      ),
      ...insertsIn(query).filter(({ columns, table }) => {
        const owner = tables.get(table)
        return typeof owner === "string" && !columns.includes(owner)
      })
    ].map(({ table }) =>
      `${table} in: ${query.join(" ")}`
    )
  })

const tokenize = (text: string): Tokens =>
  text.replace(/--[^\n]*/g, "").replace(/'[^']*'/g, "''").match(/''|\$\d+|[a-z_][a-z_0-9]*|[<>=!]+|::|\S/gi) ?? []

const opensQuery = /^(SELECT|WITH|INSERT|UPDATE|DELETE)$/i

/** Each query by itself: without those inside it, and the arms of a union apart. */
const queries = (tokens: Tokens): ReadonlyArray<Tokens> => {
  const inner: Array<Tokens> = []
  const own: Array<string> = []
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at] ?? ""
    if (token === "(" && isQuery(tokens, at + 1)) {
      const end = closing(tokens, at)
      inner.push(...queries(tokens.slice(at + 1, end)))
      own.push("()")
      at = end
    } else own.push(token)
  }
  return [...arms(own), ...inner]
}

/** The arm of a union may stand in parentheses of its own. */
const isQuery = (tokens: Tokens, at: number): boolean =>
  tokens[at] === "(" ? isQuery(tokens, at + 1) : opensQuery.test(tokens[at] ?? "")

const closing = (tokens: Tokens, open: number): number => {
  let depth = 0
  for (let at = open; at < tokens.length; at++) {
    if (tokens[at] === "(") depth++
    if (tokens[at] === ")" && --depth === 0) return at
  }
  return tokens.length
}

const arms = (tokens: Tokens): ReadonlyArray<Tokens> => {
  const union = tokens.findIndex((token) => /^(UNION|INTERSECT|EXCEPT)$/i.test(token))
  return union < 0 ? [tokens] : [tokens.slice(0, union), ...arms(tokens.slice(union + 1))]
}

const isName = (token = ""): boolean => /^[a-z_][a-z_0-9]*$/i.test(token) && !keyword.test(token)

const keyword = new RegExp(
  `^(${
    "SELECT|FROM|WHERE|JOIN|LEFT|RIGHT|INNER|CROSS|FULL|LATERAL|ON|USING|SET|VALUES|RETURNING|ORDER|GROUP|LIMIT|AS|ONLY|" +
    "AND|OR|NOT|FOR|UPDATE|DO|HAVING|UNION|INTO"
  })$`,
  "i"
)

/** What is read from, changed or deleted. A CTE is a source too, whose own query is looked at by itself. */
const sourcesIn = (query: Tokens): ReadonlyArray<Source> => {
  const found: Array<Source> = []
  query.forEach((token, at) => {
    const isLock = /^UPDATE$/i.test(token) && /^(FOR|DO)$/i.test(query[at - 1] ?? "")
    if (!/^(FROM|JOIN|UPDATE|USING)$/i.test(token) || isLock || /^DISTINCT$/i.test(query[at - 1] ?? "")) return
    let next = at
    do {
      const table = query[next + 1]
      if (table === undefined || !isName(table)) return
      const named = /^AS$/i.test(query[next + 2] ?? "") ? next + 3 : next + 2
      const alias = isName(query[named]) ? query[named] ?? table : table
      found.push({ table, alias })
      next = alias === table ? next + 2 : named + 1
    } while (query[next] === ",")
  })
  return found
}

const insertsIn = (query: Tokens): ReadonlyArray<{ readonly table: string; readonly columns: Tokens }> =>
  query.flatMap((token, at) => {
    if (!/^INTO$/i.test(token)) return []
    const open = query.indexOf("(", at)
    return [{ table: query[at + 1] ?? "", columns: query.slice(open, closing(query, open)) }]
  })

/** The names under which sources stand that are bound to the client, directly or by what they are joined with. */
const restrictedIn = (
  query: Tokens,
  sources: ReadonlyArray<Source>,
  tables: TenantTables,
  isClient: (token: string) => boolean
): ReadonlySet<string> => {
  // Of what is no tenant's table, a CTE say, the client that it carries was looked at where it is made.
  const restricted = new Set(sources.filter(({ table }) => !tables.has(table)).map(({ alias }) => alias))
  const columns = new Map(sources.map(({ alias, table }) => [alias, tables.get(table)]))
  const tenants = sources.filter(({ table }) => tables.has(table))
  const equalities = query.flatMap((token, at) =>
    token === "=" ? [[operand(query, at, -1), operand(query, at, 1)]] : []
  )
  // What another query's alias stands for is looked at there.
  const isRestricted = (alias: string) => restricted.has(alias) || !columns.has(alias)
  const meant = (name: string) => name.includes(".") || tenants.length !== 1 ? name : `${tenants[0]?.alias}.${name}`
  for (let known = -1; known < restricted.size;) {
    known = restricted.size
    for (const [left = "", right = ""] of [...equalities, ...equalities.map((sides) => sides.toReversed())]) {
      const [alias = "", column = ""] = meant(left).split(".")
      const owner = columns.get(alias)
      const [other = ""] = right.split(".")
      if (owner === undefined) continue
      const isBound = owner === null
        ? column.endsWith("_id") && right.endsWith(".id") && isRestricted(other)
        : column === owner && (isClient(right) || (right.endsWith(".client_id") && isRestricted(other)))
      if (isBound) restricted.add(alias)
    }
  }
  return restricted
}

/** `a.b`, `b` or `$1` beside the operator. */
const operand = (query: Tokens, at: number, step: 1 | -1): string => {
  const [first = "", dot = "", last = ""] = [1, 2, 3].map((distance) => query[at + step * distance])
  if (dot !== ".") return first
  return step === 1 ? `${first}.${last}` : `${last}.${first}`
}
