// One edge per data directory and per port, and how a running one hands over to the next without losing a request.
//
// Files in the data directory: `edge.lock` is held by the edge that serves, `edge-start.lock` by one that starts, until it
// serves, so that nobody comes between an old edge that lets go and its successor; `edge.sock` is where the running one
// answers. A hand-over: the new one is granted it, starts whole, opens the same ports, says that it serves; the old one
// stops listening, lets go, and ends what it has begun. Whatever becomes of the new one before it says so, the old one goes on.
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../common/clock.ts'
import { ServiceError } from '../common/errors.ts'
import type { Logger } from '../common/log.ts'
import { version } from '../common/version.ts'
import {
  InstanceClient,
  type InstanceFacts,
  type InstanceListener,
  InstanceServer,
} from './instance/instance-channel.ts'
import { holderOf, KernelLock } from './instance/kernel-lock.ts'
import { claimPorts } from './instance/port-claim.ts'

export interface InstanceLockOptions {
  dataDir: string
  node: string
  /** Where this edge is going to listen for the public; port 0 is anybody's. */
  listeners: readonly InstanceListener[]
  /** Where an edge runs, it shall hand over; without it that edge is in the way. */
  takeOver: boolean
  clock: Clock
  log: Logger
}

const answerLimitMs = 2_000
const releaseLimitMs = 15_000
/** Of the path of a socket (sockaddr_un). */
const maxPathBytes = 100

export class InstanceLock implements Disposable {
  readonly #options: InstanceLockOptions
  readonly #stack = new DisposableStack()
  #start: KernelLock
  #held: KernelLock | undefined
  #predecessor: { client: InstanceClient; facts: InstanceFacts } | undefined
  #turn: Disposable | undefined

  private constructor(options: InstanceLockOptions, start: KernelLock) {
    this.#options = options
    this.#start = this.#stack.use(start)
    this.#stack.defer(() => this.#settled())
    this.#stack.defer(() => this.#held?.[Symbol.dispose]())
  }

  /** Rejects with `instance-running` or `instance-starting`; nothing has been touched then. */
  static async acquire(options: InstanceLockOptions): Promise<InstanceLock> {
    mkdirSync(options.dataDir, { recursive: true, mode: 0o700 })
    const file = join(options.dataDir, 'edge-start.lock')
    const start = KernelLock.take(file)
    if (!start) throw inTheWay('instance-starting', 'starting', await holderOf(file), options)
    const lock = new InstanceLock(options, start)
    try {
      await lock.#acquire()
      return lock
    } catch (err) {
      lock[Symbol.dispose]()
      throw err
    }
  }

  /** True: another edge serves, and goes on until `serve`. */
  get takesOver(): boolean {
    return this.#predecessor !== undefined
  }

  /** To be called right before the ports are opened; rejects with `port-taken` where another edge has one of them. */
  async claimPorts(): Promise<void> {
    const { listeners, clock, log } = this.#options
    const shared = this.#predecessor?.facts.listeners ?? []
    const own = listeners.filter((one) => !shared.some((other) => collide(one, other)))
    this.#turn = await claimPorts(own, clock, log)
  }

  /**
   * To be called when all ports are open, as listed, and requests are answered: an edge that this one takes over from lets
   * go now. `release` is called when that is to be done here; resolves when heartbeat and admin port are free.
   */
  async serve(listeners: readonly InstanceListener[], release: () => Promise<void>): Promise<void> {
    const { node, log } = this.#options
    const file = join(this.#options.dataDir, 'edge.lock')
    await this.#predecessor?.client.ask('serve', releaseLimitMs)
    // Also where no answer came: then it has died, which lets go as well, or stands still, and has the lock.
    this.#held ??= KernelLock.take(file)
    if (!this.#held)
      throw inTheWay('instance-running', 'running', await holderOf(file), this.#options)
    const server = this.#stack.use(
      new InstanceServer({
        facts: { pid: process.pid, node, version, listeners: [...listeners] },
        release: async () => {
          await release()
          this.#held?.[Symbol.dispose]()
        },
        log,
      }),
    )
    await server.listen(this.#socketPath())
    this.#settled()
  }

  [Symbol.dispose](): void {
    this.#stack.dispose()
  }

  async #acquire(): Promise<void> {
    const { dataDir, takeOver, clock, log } = this.#options
    const file = join(dataDir, 'edge.lock')
    this.#held = KernelLock.take(file)
    if (this.#held) {
      if (takeOver) log.info('no edge runs here: nothing to take over')
      return
    }
    const fail = async (why = '') => {
      return inTheWay('instance-running', 'running', await holderOf(file), this.#options, why)
    }
    if (!takeOver) throw await fail()
    const client = await InstanceClient.connect(this.#socketPath(), clock)
    const answer = await client?.ask('take-over', answerLimitMs)
    if (!client || !answer || !('facts' in answer)) {
      client?.[Symbol.dispose]()
      throw await fail(answer && 'refused' in answer ? answer.refused : 'it does not answer')
    }
    this.#predecessor = { client, facts: answer.facts }
    log.info({ pid: answer.facts.pid, version: answer.facts.version }, 'taking over')
  }

  /** Nobody need wait for this one any more. */
  #settled(): void {
    this.#turn?.[Symbol.dispose]()
    this.#turn = undefined
    this.#predecessor?.client[Symbol.dispose]()
    this.#predecessor = undefined
    this.#start[Symbol.dispose]()
  }

  #socketPath(): string {
    const { dataDir } = this.#options
    const path = join(dataDir, 'edge.sock')
    if (Buffer.byteLength(path) <= maxPathBytes || process.platform !== 'linux') return path
    const folder = openSync(dataDir, 'r')
    this.#stack.defer(() => closeSync(folder))
    return `/proc/self/fd/${folder}/edge.sock`
  }
}

/** The one could not listen if the other does, unless they share. */
function collide(one: InstanceListener, other: InstanceListener): boolean {
  const isAny = ({ host }: InstanceListener) => host === '::' || host === '0.0.0.0'
  return one.port === other.port && (one.host === other.host || isAny(one) || isAny(other))
}

function inTheWay(
  code: string,
  does: string,
  pid: number | undefined,
  { dataDir, takeOver }: InstanceLockOptions,
  why = '',
): ServiceError {
  const who = `Another edge is ${does} on ${dataDir}${pid === undefined ? '' : ` (pid ${pid})`}`
  const hint = 'Stop it, or start with --take-over so that it hands over without losing a request.'
  const rest = takeOver ? `${why ? `: ${why}` : ''}. It goes on.` : `. ${hint}`
  return new ServiceError(`${who}${rest}`, { code, source: 'downstream' })
}
