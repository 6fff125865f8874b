// Fuzz target `handshake`: both ends of it, plain and signed, a piece at a time.
import { ClientHandshake, ServerHandshake } from '../../media/rtmp/handshake.ts'
import { recordSession } from '../media/rtmp/recorded-session.ts'
import { type FuzzTarget, pieces } from './fuzz-target.ts'

const handshakeBytes = 1 + 2 * 1536
const options = { random: (sizeBytes: number) => Buffer.alloc(sizeBytes, 5), nowMs: () => 7 }

export const handshakeTarget: FuzzTarget = {
  name: 'handshake',
  seeds: [undefined, 8 as const, 772 as const].map((schema) => recordSession(schema).greeting),
  check(bytes, random) {
    const parts = pieces(bytes, random)
    return (
      takenBy(new ServerHandshake(options), parts) ??
      takenBy(new ClientHandshake(options, ([undefined, 8, 772] as const)[random(3)]), parts)
    )
  },
}

function takenBy(
  handshake: ServerHandshake | ClientHandshake,
  parts: readonly Buffer[],
): string | undefined {
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
