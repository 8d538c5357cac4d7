import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** Another service process is at work on the same data. */
export class DataDirectoryInUse extends Data.TaggedError("DataDirectoryInUse")<{
  readonly directory: string
  readonly pid: number
}> {
  override get message() {
    return `${this.directory} is already used by a running service (pid ${this.pid}). Stop that one first, ` +
      "or give this one another data directory, or let both share a server through DATABASE_URL."
  }
}

/** Postgres could not be run here. Says what was wrong and where, then what to do about it. */
export class EmbeddedPostgresFault extends Data.TaggedError("EmbeddedPostgresFault")<{
  readonly problem: string
  readonly advice: string
  readonly cause?: unknown
}> {
  override get message() {
    return `${this.problem}. ${this.advice}`
  }

  /** Translates failures of any kind that carry a message of their own. */
  static refail(problem: string, advice: string) {
    return <A, R>(
      self: Effect.Effect<A, { readonly message: string }, R>
    ): Effect.Effect<A, EmbeddedPostgresFault, R> =>
      Effect.mapError(
        self,
        (cause) => new EmbeddedPostgresFault({ problem: `${problem}: ${cause.message}`, advice, cause })
      )
  }
}

export const orUseDatabaseUrl = "or set DATABASE_URL to use a Postgres of your own."
