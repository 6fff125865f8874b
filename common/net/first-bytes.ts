// Decides by its first bytes what a new connection speaks, without losing one of them: an optional PROXY
// header, then RTMP or HTTP.
import type { Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import { type ProxyHeader, parseProxyHeader } from './proxy-protocol.ts'

export interface AcceptOptions {
  /** For the header and the first byte behind it together. */
  deadlineMs: number
  clock: Clock
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
 * the socket next reads it from the start. The socket keeps an error listener, because its next owner may
 * come a few ticks later. Never rejects.
 */
export function acceptConnection(socket: Socket, options: AcceptOptions): Promise<Accepted> {
  const { promise, resolve } = Promise.withResolvers<Accepted>()
  let bytes: Buffer = Buffer.alloc(0)
  let proxy: ProxyHeader | undefined
  let isProxyRead = options.proxy === 'none'

  const settle = (accepted: Accepted) => {
    deadline.cancel()
    socket.off('readable', onReadable)
    socket.off('end', onLeft)
    socket.off('close', onLeft)
    if (accepted.protocol === 'closed') socket.destroy()
    else socket.unshift(bytes)
    resolve(accepted)
  }
  const close = (reason: ClosedReason, detail?: string) =>
    settle({ protocol: 'closed', reason, ...(detail !== undefined && { detail }) })
  const onLeft = () => close('left')
  const onReadable = () => {
    const chunk: Buffer | null = socket.read()
    if (chunk === null) return
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    if (!isProxyRead) {
      const parsed = parseProxyHeader(bytes)
      if (parsed.kind === 'more') return
      if (parsed.kind === 'invalid') return close('proxy-invalid', parsed.reason)
      if (parsed.kind === 'absent' && options.proxy === 'required') return close('proxy-missing')
      if (parsed.kind === 'header') {
        proxy = parsed.header
        bytes = bytes.subarray(parsed.length)
      }
      isProxyRead = true
    }
    if (bytes.length === 0) return
    settle({ protocol: bytes[0] === rtmpVersion ? 'rtmp' : 'http', proxy })
  }

  const deadline = options.clock.setTimeout(() => close('silent'), options.deadlineMs)
  socket.on('error', () => {})
  socket.on('readable', onReadable)
  socket.on('end', onLeft)
  socket.on('close', onLeft)
  if (socket.destroyed) onLeft()
  return promise
}
