/**
 * Every TCP connection that this process begins, whoever begins it: recorded where Node calls connect(2), so that TLS
 * sockets are among them, which the channel `net.client.socket` leaves out.
 */
import { Effect, type Scope } from "effect"
import { createHook } from "node:async_hooks"

export interface ConnectionAttempts {
  /** `address port`, the first one first. */
  readonly attempted: ReadonlyArray<string>
}

/** What Node hands to the handle: its address is the one that is dialled, never a name. */
const isConnect = (type: string, request: object): request is { readonly address: string; readonly port: number } =>
  type === "TCPCONNECTWRAP" && "address" in request && "port" in request

export const record: Effect.Effect<ConnectionAttempts, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const attempted: Array<string> = []
      const hook = createHook({
        init: (_, type, __, request) => {
          if (isConnect(type, request)) attempted.push(`${request.address} ${request.port}`)
        }
      })
      return { attempted, hook: hook.enable() }
    }),
    ({ hook }) => Effect.sync(() => hook.disable())
  ),
  ({ attempted }) => ({ attempted })
)
