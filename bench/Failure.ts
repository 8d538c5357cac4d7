/** What keeps a benchmark from being run, in words for whoever started it. */
import * as Data from "effect/Data"

export class Failure extends Data.TaggedError("Failure")<{
  /** What was wrong. */
  readonly problem: string
  /** What to do about it. */
  readonly advice: string
}> {
  override get message(): string {
    return `${this.problem}. ${this.advice}`
  }
}
