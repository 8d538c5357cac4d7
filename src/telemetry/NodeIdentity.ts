/** Which of the processes on one database this is. */
import { randomBytes } from "node:crypto"
import { hostname } from "node:os"

/** Unlike that of any other, also of one before it in the same place. */
export const nodeId = `${hostname()}-${process.pid}-${randomBytes(3).toString("hex")}`

/** Unix milliseconds. */
export const startedAt = Math.round(performance.timeOrigin)

/** Where `OTEL_SERVICE_NAME` gives no other. */
export const serviceName = "deeper-hub-webhooks"
