// Looks at the first bytes of a connection and puts them back, within a deadline.
import type { Socket } from 'node:net'
import type { Clock } from '../clock.ts'

export interface PeekOptions {
  deadlineMs: number
  clock: Clock
}

/** `left`: the peer closed first; `silent`: it said too little in time. The socket is destroyed in both cases. */
export type Peeked<T> = { kind: 'seen'; value: T } | { kind: 'left' | 'silent' }

/**
 * Calls `decide` with all bytes so far until it answers; what it does not skip is put back, so that whoever
 * gets the socket next reads it from there. Bounds are up to `decide`. The socket keeps an error listener,
 * because its next owner may come a few ticks later. Never rejects.
 */
export function peek<T>(
  socket: Socket,
  options: PeekOptions,
  decide: (bytes: Buffer) => { value: T; skip?: number } | undefined,
): Promise<Peeked<T>> {
  const { promise, resolve } = Promise.withResolvers<Peeked<T>>()
  let bytes: Buffer = Buffer.alloc(0)

  const settle = (peeked: Peeked<T>) => {
    deadline.cancel()
    socket.off('readable', onReadable)
    socket.off('end', onLeft)
    socket.off('close', onLeft)
    if (peeked.kind !== 'seen') socket.destroy()
    resolve(peeked)
  }
  const onLeft = () => settle({ kind: 'left' })
  const onReadable = () => {
    const chunk: Buffer | null = socket.read()
    if (chunk === null) return
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    const decision = decide(bytes)
    if (!decision) return
    settle({ kind: 'seen', value: decision.value })
    const rest = bytes.subarray(decision.skip ?? 0)
    if (rest.length > 0 && !socket.destroyed) socket.unshift(rest)
  }

  const deadline = options.clock.setTimeout(() => settle({ kind: 'silent' }), options.deadlineMs)
  socket.on('error', () => {})
  socket.on('readable', onReadable)
  socket.on('end', onLeft)
  socket.on('close', onLeft)
  if (socket.destroyed) onLeft()
  return promise
}
