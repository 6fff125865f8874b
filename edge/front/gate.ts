// What stands before every public port: looks whether there is room, reads the PROXY header of a trusted load balancer,
// then asks the admission whether the address behind the connection may come in. From anybody else a PROXY header is no ClientHello, no RTMP
// and no HTTP, and ends as such.
import type { Socket } from 'node:net'
import { type Clock, delay } from '../../common/clock.ts'
import type { Logger } from '../../common/log.ts'
import type { NetworkList } from '../../common/net/allowed-networks.ts'
import { type Peeked, peek } from '../../common/net/peek.ts'
import { type ProxyParse, parseProxyHeader } from '../../common/net/proxy-protocol.ts'
import type { Admission } from '../admission/admission.ts'
import type { ConnectionInfo } from './connection-info.ts'
import type { Descriptors } from './descriptors.ts'
import type { PeerBook } from './peer-book.ts'

export interface GateOptions {
  /** Peers whose connections begin with a PROXY header, all of them. */
  trustedProxies: NetworkList
  admission: Pick<Admission, 'connect'> | undefined
  descriptors: Pick<Descriptors, 'allows'>
  peers: PeerBook
  headerTimeoutMs: number
  clock: Clock
  log: Logger
  onProxyError?(): void
}

export class Gate {
  readonly #options: GateOptions

  constructor(options: GateOptions) {
    this.#options = options
  }

  /** Who it is, with the header taken off. Undefined: not let in, and the socket is destroyed. */
  async admit(socket: Socket, kind: 'viewer' | 'unknown'): Promise<ConnectionInfo | undefined> {
    const { admission, clock, descriptors, peers, trustedProxies } = this.#options
    // Its next owner comes some ticks later.
    socket.on('error', () => {})
    if (!descriptors.allows(socket, kind)) {
      socket.destroy()
      return undefined
    }
    if (trustedProxies.includes(socket.remoteAddress) && !(await this.#readHeader(socket))) {
      socket.destroy()
      return undefined
    }
    const info = peers.infoOf(socket)
    const verdict = admission?.connect(info.remoteAddress, socket)
    if (verdict && 'refused' in verdict) {
      socket.destroy()
      return undefined
    }
    if (verdict) {
      const { release, waitMs } = verdict.admitted
      if (socket.destroyed) release()
      else socket.once('close', release)
      if (waitMs > 0) await untilClosed(socket, (signal) => delay(clock, waitMs, signal))
    }
    return socket.destroyed ? undefined : info
  }

  async #readHeader(socket: Socket): Promise<boolean> {
    const { clock, headerTimeoutMs, log, onProxyError, peers } = this.#options
    const peer = socket.remoteAddress
    const peeked = await peek(socket, { clock, deadlineMs: headerTimeoutMs }, (bytes) => {
      const parsed = parseProxyHeader(bytes)
      if (parsed.kind === 'more') return undefined
      return { value: parsed, skip: parsed.kind === 'header' ? parsed.length : 0 }
    })
    if (peeked.kind === 'seen' && peeked.value.kind === 'header') {
      peers.claim(socket, peeked.value.header)
      return true
    }
    // A load balancer that looks whether the port is open says nothing and leaves.
    if (peeked.kind === 'left') return false
    onProxyError?.()
    log.warn({ peer, detail: faultOf(peeked) }, 'trusted proxy sent no PROXY header')
    return false
  }
}

function faultOf(peeked: Peeked<ProxyParse>): string {
  if (peeked.kind !== 'seen') return peeked.kind
  return peeked.value.kind === 'invalid' ? peeked.value.reason : 'absent'
}

async function untilClosed(
  socket: Socket,
  wait: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const closed = new AbortController()
  const onClose = () => closed.abort()
  socket.once('close', onClose)
  await wait(closed.signal)
  socket.off('close', onClose)
}
