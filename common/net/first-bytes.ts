// Decides by its first bytes what a new connection speaks, without losing one of them: an optional PROXY
// header, then RTMP or HTTP.
import type { Socket } from 'node:net'
import { type PeekOptions, peek } from './peek.ts'
import { type ProxyHeader, parseProxyHeader } from './proxy-protocol.ts'

/** The deadline is for the header and the first byte behind it together. */
export interface AcceptOptions extends PeekOptions {
  proxy: 'none' | 'optional' | 'required'
}

/** Anything but `rtmp` and `http` has been destroyed already. */
export type Accepted =
  | { protocol: 'rtmp' | 'http'; proxy: ProxyHeader | undefined }
  | { protocol: 'closed'; reason: ClosedReason; detail?: string }

/** `left`: the peer closed first; `silent`: it said too little before the deadline. */
export type ClosedReason = 'left' | 'silent' | 'proxy-invalid' | 'proxy-missing'

// RTMP 1.0 §5.2.2: the first byte of C0 is the version, 3. No HTTP method starts with it.
const rtmpVersion = 3

/**
 * Reads until the protocol is known and puts back every byte behind the PROXY header, so that whoever gets
 * the socket next reads it from the start. Never rejects.
 */
export async function acceptConnection(
  socket: Socket,
  { proxy: mode, ...options }: AcceptOptions,
): Promise<Accepted> {
  const peeked = await peek(socket, options, (bytes): Decision | undefined => {
    const parsed = mode === 'none' ? ({ kind: 'absent' } as const) : parseProxyHeader(bytes)
    if (parsed.kind === 'more') return undefined
    if (parsed.kind === 'invalid') return closed('proxy-invalid', parsed.reason)
    if (parsed.kind === 'absent' && mode === 'required') return closed('proxy-missing')
    const [skip, proxy] = parsed.kind === 'header' ? [parsed.length, parsed.header] : [0, undefined]
    if (bytes.length === skip) return undefined
    return { skip, value: { protocol: bytes[skip] === rtmpVersion ? 'rtmp' : 'http', proxy } }
  })
  if (peeked.kind !== 'seen') return { protocol: 'closed', reason: peeked.kind }
  if (peeked.value.protocol === 'closed') socket.destroy()
  return peeked.value
}

interface Decision {
  value: Accepted
  skip?: number
}

function closed(reason: ClosedReason, detail?: string): Decision {
  return { value: { protocol: 'closed', reason, ...(detail !== undefined && { detail }) } }
}
