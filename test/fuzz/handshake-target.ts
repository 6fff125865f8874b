// Fuzz target `handshake`: both ends of it, plain and signed, a piece at a time.
import { ClientHandshake, ServerHandshake } from '../../media/rtmp/handshake.ts'
import { type FuzzTarget, pieces } from './fuzz-target.ts'

const packetBytes = 1536
const handshakeBytes = 1 + 2 * packetBytes
/** The first packet copies what it gets; the second is signed in place, where nobody reads: so that both can be reused. */
const forFirst = Buffer.alloc(packetBytes - 8, 5)
const forSecond = Buffer.alloc(packetBytes, 5)
export const handshakeOptions = {
  random: (sizeBytes: number) => (sizeBytes === packetBytes ? forSecond : forFirst),
  nowMs: () => 7,
}
/** Strangers reach the server's end, which takes every input; the client's meets nodes of ours, and digests are dear. */
const runsPerClient = 4
const schemas = [undefined, 8, 772] as const

type Handshake = Pick<ServerHandshake, 'take' | 'isDone' | 'error'>

/** The ends to feed, so that a test can put worse ones in their place. */
export function handshakeTargetOf(
  newServer: () => Handshake = () => new ServerHandshake(handshakeOptions),
  newClient: (schema?: 8 | 772) => Handshake = (schema) =>
    new ClientHandshake(handshakeOptions, schema),
): FuzzTarget {
  return {
    name: 'handshake',
    // Both sides of one exchange: the client that is fed is the one that was answered, so that signatures are right.
    seeds: schemas.flatMap(exchange),
    check(bytes, random) {
      const parts = pieces(bytes, random)
      const fault = takenBy(newServer(), parts)
      if (fault !== undefined || random(runsPerClient) > 0) return fault
      return takenBy(newClient(schemas[random(schemas.length)]), parts)
    },
  }
}

export const handshakeTarget = handshakeTargetOf()

function exchange(schema?: 8 | 772): [fromClient: Buffer, fromServer: Buffer] {
  const client = new ClientHandshake(handshakeOptions, schema)
  const fromClient: Buffer[] = []
  const fromServer: Buffer[] = []
  client.start(fromClient)
  new ServerHandshake(handshakeOptions).take(Buffer.concat(fromClient), 0, fromServer)
  client.take(Buffer.concat(fromServer), 0, fromClient)
  return [Buffer.concat(fromClient), Buffer.concat(fromServer)]
}

function takenBy(handshake: Handshake, parts: readonly Buffer[]): string | undefined {
  const out: Buffer[] = []
  let taken = 0
  for (const part of parts) {
    if (handshake.isDone || handshake.error) break
    const offset = handshake.take(part, 0, out)
    if (offset > part.length) return 'took bytes that were not there'
    if (offset < part.length && !handshake.isDone && !handshake.error) return 'stopped in mid-piece'
    taken += offset
  }
  if (taken > handshakeBytes) return `took ${taken} bytes`
  if (handshake.isDone && taken !== handshakeBytes) return `was done after ${taken} bytes`
  const said = out.reduce((sum, { length }) => sum + length, 0)
  return said > handshakeBytes ? `answered ${said} bytes` : undefined
}
