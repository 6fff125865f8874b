// Raw connections that say whatever they are told, and how each of them ended.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export interface Door {
  port: number
  tls?: boolean
  /** Comes before everything else: a PROXY header. */
  preface?: Buffer
}

const host = '127.0.0.1'

/** Resolves when the connection, and over TLS its handshake, stands. */
export async function dial({ port, tls, preface }: Door): Promise<Socket> {
  const socket = tls
    ? connectTls({ host, port, rejectUnauthorized: false })
    : connect({ host, port, noDelay: true })
  await once(socket, tls ? 'secureConnect' : 'connect')
  socket.on('error', () => {})
  if (preface) socket.write(preface)
  return socket
}

/** Says it all and waits for the other end to hang up; what it answered, or undefined when it did not in time. */
export async function provoke(
  door: Door,
  bytes: readonly (Buffer | string)[],
  limitMs: number,
): Promise<string | undefined> {
  const socket = await dial(door)
  const answer: Buffer[] = []
  socket.on('data', (piece: Buffer) => answer.push(piece))
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const limit = setTimeout(() => resolve(false), limitMs)
  socket.once('end', () => resolve(true))
  socket.once('close', () => resolve(true))
  for (const piece of bytes) socket.write(piece)
  const wasClosed = await promise
  clearTimeout(limit)
  socket.destroy()
  return wasClosed ? Buffer.concat(answer).toString('latin1') : undefined
}

/** At most `width` at a time, so that nobody's backlog is the thing under test. */
export async function inBatches<T>(
  items: readonly T[],
  width: number,
  each: (item: T) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < items.length; at += width) {
    await Promise.all(items.slice(at, at + width).map(each))
  }
}

/** Resident memory of a process (Linux). */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(match?.[1]) * 1024
}
