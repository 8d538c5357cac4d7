import { assert, describe, it } from "@effect/vitest"
import { allows, type Caller, type Permission, reach, Role } from "../../src/domain/Client.ts"
import { ClientId } from "../../src/domain/Ids.ts"

const permissions: ReadonlyArray<Permission> = ["operate", "publish", "read", "write"]

describe("a role", () => {
  it("may do what the design says, and no more", () => {
    const table = Role.literals.map((role) => [role, permissions.filter((permission) => allows(role, permission))])
    assert.deepStrictEqual(Object.fromEntries(table), {
      operator: ["operate", "publish", "read", "write"],
      client: ["publish", "read", "write"],
      publisher: ["publish"],
      viewer: ["read"]
    })
  })

  it("reaches its own client's rows alone, unless it is the operator", () => {
    const clientId = ClientId.make("acme")
    const of = (role: Role): Caller => ({ keyId: null, clientId, role, address: null })
    assert.deepStrictEqual(
      Role.literals.map((role) => [role, reach(of(role)).only]),
      [["operator", null], ["client", clientId], ["publisher", clientId], ["viewer", clientId]]
    )
  })
})
