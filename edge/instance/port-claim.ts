// Whether ports are free for an edge, all of whose listeners share theirs (SO_REUSEPORT): the kernel would let a
// second edge have them too, silently, and give each a part of the connections.
//
// Asked by opening each without sharing, for a moment: the kernel refuses that wherever anybody listens, and knows best
// which addresses collide. Two that ask at once would both be told yes, so that they take turns, until each listens: the
// turn is a name that the kernel gives to one at a time within a network namespace, as it does ports.
import { createConnection, createServer, type Socket } from 'node:net'
import { type Clock, delay } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { Logger } from '../../common/log.ts'
import { listen } from '../../common/net/listen.ts'
import type { InstanceListener } from './instance-channel.ts'

const turnName = '\0nearcast-edge-opens-ports'
const turnLimitMs = 15_000
const lookAgainMs = 1_000

/** Resolves when the ports are nobody's; no other edge of this machine opens any before the turn is over. */
export async function claimPorts(
  listeners: readonly InstanceListener[],
  clock: Clock,
  log: Logger,
): Promise<Disposable> {
  const turn = await takeTurn(clock, log)
  try {
    for (const target of listeners) {
      if (target.port !== 0) await probe(target)
    }
    return turn
  } catch (err) {
    turn[Symbol.dispose]()
    throw err
  }
}

async function probe(target: InstanceListener): Promise<void> {
  const server = createServer((socket) => socket.destroy())
  try {
    await listen(server, target)
  } catch (err) {
    if (!(err instanceof ServiceError) || err.code !== 'port-taken') throw err
    throw new ServiceError(
      `${err.message} To take over from a running edge, start with its dataDir and --take-over.`,
      { code: err.code, source: err.source, cause: err.cause },
    )
  }
  await new Promise((resolve) => server.close(resolve))
}

async function takeTurn(clock: Clock, log: Logger): Promise<Disposable> {
  const none = { [Symbol.dispose]() {} }
  if (process.platform !== 'linux') return none
  const until = clock.monotonic() + turnLimitMs
  for (;;) {
    const turn = await tryTurn()
    if (turn) return turn
    if (clock.monotonic() > until) {
      log.warn({ waitedMs: turnLimitMs }, 'another process opens ports for too long; not waiting')
      return none
    }
    await otherTurnOver(clock)
  }
}

/** Undefined: it is another's. Whoever waits for the end of this one is connected to it. */
function tryTurn(): Promise<Disposable | undefined> {
  const waiting = new Set<Socket>()
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      waiting.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => waiting.delete(socket))
    })
    server.once('error', (err: NodeJS.ErrnoException) => {
      if (err.code === 'EADDRINUSE') resolve(undefined)
      else reject(err)
    })
    server.listen(turnName, () =>
      resolve({
        [Symbol.dispose]() {
          server.close()
          for (const socket of waiting) socket.destroy()
        },
      }),
    )
  })
}

async function otherTurnOver(clock: Clock): Promise<void> {
  const socket = createConnection(turnName)
  const stop = new AbortController()
  const over = new Promise<void>((resolve) => {
    socket.on('error', () => {})
    socket.once('close', resolve)
  })
  await Promise.race([over, delay(clock, lookAgainMs, stop.signal)])
  stop.abort()
  socket.destroy()
}
