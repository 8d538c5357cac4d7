/** What does the work: this service in one of its forms, a peer, or a ceiling. It lives in `host.ts`. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Failure } from "./Failure.ts"

/** What is published, whoever publishes it. */
export interface BenchEvent {
  readonly id: string
  readonly type: string
  readonly payload: Readonly<Record<string, unknown>>
}

/** Where events of a type go. */
export interface Route {
  readonly eventType: string
  readonly urls: ReadonlyArray<string>
}

/** Where a contender works. */
export interface Place {
  readonly databaseUrl: string
  /** Of the Redis of this run; 0 where the contender needs none. */
  readonly redisPort: number
  readonly routes: ReadonlyArray<Route>
  /** How long the receiver takes: a contender may arrange itself for it. */
  readonly answersAfterMs: number
  /** Of the service to publish to, for a publisher in a process of its own. */
  readonly address: Address | null
}

/** Publishes; what it answers for is durable. One of the two kinds, so that neither pays for the other's machinery. */
export type Publish =
  | { readonly kind: "promise"; readonly run: (events: ReadonlyArray<BenchEvent>) => Promise<unknown> }
  | { readonly kind: "effect"; readonly run: (events: ReadonlyArray<BenchEvent>) => Effect.Effect<unknown> }

export interface Contender {
  readonly publish: Publish
  /** Events that it publishes at once. */
  readonly batch: number
  /** Publishes under way at once; the case's number where absent. */
  readonly inFlight?: number
  /** What a publisher in another process has to know. */
  readonly address?: Address
}

/** Of a service that is published to over HTTP. */
export interface Address {
  readonly base: string
  readonly key: string
}

export type Make = (place: Place) => Effect.Effect<Contender, Failure, Scope.Scope>
