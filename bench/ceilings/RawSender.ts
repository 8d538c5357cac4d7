/** Sends what it is handed by undici's `dispatch`, so many at once, and hands on what came of it. */
import { Agent } from "undici"
import { headersOf } from "../Signed.ts"
import type { RawDelivery, RawOutcome } from "./RawSql.ts"

export interface RawSenderOptions {
  readonly concurrency: number
  readonly done: (outcome: RawOutcome) => void
  /** There is room for more than is waiting. */
  readonly idle: () => void
}

export const make = ({ concurrency, done, idle }: RawSenderOptions) => {
  const agent = new Agent({ connections: concurrency, pipelining: 1, keepAliveTimeout: 60_000 })
  const ready: Array<RawDelivery> = []
  let inFlight = 0

  const send = (delivery: RawDelivery) => {
    const { origin, pathname } = new URL(delivery.url)
    const started = performance.now()
    let code = 0
    inFlight += 1
    const end = () => {
      inFlight -= 1
      done({ delivery, code, durationMs: Math.round(performance.now() - started) })
      pump()
    }
    const headers = headersOf(delivery.eventId, delivery.body)
    agent.dispatch({ origin, path: pathname, method: "POST", body: delivery.body, headers }, {
      onRequestStart: () => {},
      onResponseStart: (_, status) => void (code = status),
      onResponseData: () => {},
      onResponseEnd: end,
      onResponseError: () => {
        code = 0
        end()
      }
    })
  }
  const pump = () => {
    for (let room = concurrency - inFlight; room > 0; room--) {
      const delivery = ready.shift()
      if (delivery === undefined) return idle()
      send(delivery)
    }
    if (ready.length < concurrency) idle()
  }
  return {
    add: (deliveries: ReadonlyArray<RawDelivery>) => {
      ready.push(...deliveries)
      pump()
    },
    waiting: () => ready.length,
    close: () => agent.destroy()
  }
}
