// Proof that a node belongs to the cluster, and tickets that open a transcoder: JWS HS256 under the cluster secret.
import { randomUUID } from 'node:crypto'
import { type JWTPayload, jwtVerify, SignJWT } from 'jose'
import { type Clock, systemClock } from '../clock.ts'
import { nodeIdSchema, type Role, roleSchema } from '../contract/membership.ts'
import { type PublishTicket, publishTicketSchema } from '../contract/placement.ts'

const nodeTokenSeconds = 60
const ticketSeconds = 30
/** Nodes show one token for half a minute, with every request. A signature costs 0.1 ms, and a thread of the pool in
 * which files are written: a slow disk would hold up playback. */
const maxRemembered = 256
/** How far the clocks of two machines may be apart. */
const clockToleranceSeconds = 30

// The audience keeps a ticket from being taken for a node token and the other way round.
const nodeAudience = 'nearcast-node'
const ticketAudience = 'nearcast-publish'

export interface NodeIdentity {
  nodeId: string
  role: Role
}

export interface ClusterAuth {
  issueNodeToken(nodeId: string, role: Role): Promise<string>
  verifyNodeToken(token: string): Promise<NodeIdentity | undefined>
  signTicket(claims: PublishTicket): Promise<string>
  verifyTicket(token: string): Promise<PublishTicket | undefined>
}

export function createClusterAuth(secret: string, clock: Clock = systemClock): ClusterAuth {
  const key = new TextEncoder().encode(secret)
  const verified = new Map<string, { identity: NodeIdentity; untilSeconds: number }>()

  function sign(claims: JWTPayload, audience: string, lifeSeconds: number): Promise<string> {
    const nowSeconds = Math.floor(clock.now() / 1000)
    return new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256' })
      .setAudience(audience)
      .setIssuedAt(nowSeconds)
      .setExpirationTime(nowSeconds + lifeSeconds)
      .sign(key)
  }

  async function verify(
    token: string,
    audience: string,
    maxAgeSeconds: number,
  ): Promise<JWTPayload | undefined> {
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: ['HS256'],
        audience,
        requiredClaims: ['exp', 'iat'],
        maxTokenAge: maxAgeSeconds,
        clockTolerance: clockToleranceSeconds,
        currentDate: new Date(clock.now()),
      })
      return payload
    } catch {
      return undefined
    }
  }

  return {
    issueNodeToken: (nodeId, role) => sign({ sub: nodeId, role }, nodeAudience, nodeTokenSeconds),

    async verifyNodeToken(token) {
      const known = verified.get(token)
      if (known && clock.now() / 1000 < known.untilSeconds) return known.identity
      verified.delete(token)
      const payload = await verify(token, nodeAudience, nodeTokenSeconds)
      const nodeId = nodeIdSchema.safeParse(payload?.sub)
      const role = roleSchema.safeParse(payload?.role)
      if (!nodeId.success || !role.success) return undefined
      const identity = { nodeId: nodeId.data, role: role.data }
      const lastSeconds = Math.min(payload!.exp!, payload!.iat! + nodeTokenSeconds)
      verified.set(token, { identity, untilSeconds: lastSeconds + clockToleranceSeconds })
      if (verified.size > maxRemembered) verified.delete(verified.keys().next().value!)
      return identity
    },

    // An id of its own: a ticket opens one publish, and two may be signed within one second.
    signTicket: (claims) => sign({ ...claims, jti: randomUUID() }, ticketAudience, ticketSeconds),

    async verifyTicket(token) {
      const ticket = publishTicketSchema.safeParse(
        await verify(token, ticketAudience, ticketSeconds),
      )
      return ticket.success ? ticket.data : undefined
    },
  }
}
