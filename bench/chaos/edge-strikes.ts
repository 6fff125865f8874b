// Faults of an edge's process: frozen under its viewers, and out of file descriptors while viewers keep coming.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { connect, type Socket } from 'node:net'
import { FrozenTree } from '../../test/support/frozen-tree.ts'
import type { TakeoverStage } from '../../test/support/takeover-stage.ts'
import { until } from '../../test/support/until.ts'
import type { Fault, Strike } from './fault.ts'
import { outcomesOf, pause, Watchers } from './watchers.ts'

const size = '640x360'
const args = ['--ladder', 'passthrough']
const viewersOfEachKind = 6
const freezeMs = 5_000
const afterMs = 5_000
const spareDescriptors = 16
const comingAtOnce = 10
const comeAgainMs = 50
const sheddingMs = 8_000
/** What says nothing for so long says nothing. */
const silenceMs = 5_000
const ticksPerSecond = 100

export const edgeFrozen: Fault = {
  id: 'F2',
  name: 'edge frozen for 5 s',
  stage: { pops: 3, size, args },
  allowedDisconnects: 0,
  goalTimesMs: { 'answering again': 2_000 },
  goalFigures: { 'cut short and ended cleanly': 0, 'did not go on': 0 },
  mayLose: false,
  async strike({ cluster }) {
    const { edges, channels } = cluster.facts
    const [, struck, other] = edges
    const folder = `/live/${channels[0]!.liveId}`
    await using watchers = await Watchers.start(struck!.http + folder, viewersOfEachKind)
    const kinds = ['held', 'ahead'] as const
    await until('viewers to wait', () => kinds.every((kind) => watchers.underWay(kind).length > 1))
    const struckAtMs = performance.now()
    using frozen = FrozenTree.freeze(struck!.pid)
    await pause(freezeMs)
    const thawedAtMs = performance.now()
    const waiting = watchers.all.filter(({ endedAtMs }) => endedAtMs === undefined)
    frozen.thaw()
    await pause(afterMs)
    await watchers.stop()
    const later = watchers.since(thawedAtMs)
    const failed = [...waiting, ...later].filter((it) => it.status !== 200)
    const first = Math.min(...[...waiting, ...later].map(({ endedAtMs }) => endedAtMs!))
    const unlike = await watchers.unlike(other!.http + folder)
    return {
      struckAtMs,
      times: { 'answering again': first - thawedAtMs },
      figures: { 'cut short and ended cleanly': unlike.length, 'did not go on': failed.length },
      notes: [
        `under way when thawed: ${outcomesOf(waiting)}`,
        `asked later: ${outcomesOf(later)}`,
        ...failed.map(({ kind, path, status, problem, askedAtMs, endedAtMs }) => {
          const [from, to] = [askedAtMs, endedAtMs!].map((ms) => Math.round(ms - thawedAtMs))
          return `${kind} ${path} ${status} ${problem}, asked at ${from} ms, over at ${to} ms`
        }),
        ...unlike,
      ],
      heal: async () => {},
    }
  },
}

export const edgeOutOfDescriptors: Fault = {
  id: 'F20',
  name: "publisher's edge out of file descriptors",
  stage: { pops: 2, size, args },
  allowedDisconnects: 0,
  goalTimesMs: { 'turned away': 1_000, 'serving again': 2_000 },
  goalFigures: { 'CPU % while shedding': 50, 'left hanging': 0, 'kept viewer refused': 0 },
  mayLose: false,
  strike: outOfDescriptors,
}

type Came = { outcome: 'answered' | 'turned away' | 'left hanging'; ms: number; socket: Socket }

async function outOfDescriptors({ cluster }: TakeoverStage): Promise<Strike> {
  const { edges, channels } = cluster.facts
  const { pid, http, admin } = edges[0]!
  const path = `/live/${channels[0]!.liveId}/index.m3u8`
  const come = () => newViewer(Number(new URL(http).port), path)
  const inside = new Set<Socket>()
  using kept = new KeptViewer(http + path)
  await until('a kept viewer', () => kept.asks())
  const before = limitOf(pid)
  const open = readdirSync(`/proc/${pid}/fd`).map(Number)
  const struckAtMs = performance.now()
  const heal = async () => {
    if (limitOf(pid) !== before) limit(pid, before)
    for (const socket of inside) socket.destroy()
  }
  try {
    limit(pid, Math.max(...open) + 1 + spareDescriptors)
    await until('nobody to be let in', async () => {
      const came = await come()
      inside.add(came.socket)
      return came.outcome !== 'answered'
    })
    const all: Came[] = []
    const cpuBefore = cpuSeconds(pid)
    const sinceMs = performance.now()
    const crowd = Array.from({ length: comingAtOnce }, async () => {
      while (performance.now() < sinceMs + sheddingMs) {
        const came = await come()
        all.push(came)
        inside.add(came.socket)
        await pause(comeAgainMs)
      }
    })
    const keptAnswers: boolean[] = []
    while (performance.now() < sinceMs + sheddingMs) {
      keptAnswers.push(await kept.asks())
      await pause(comeAgainMs)
    }
    const isAdminThere = await fetch(`${admin}/livez`).then(
      ({ ok }) => ok,
      () => false,
    )
    await Promise.all(crowd)
    const seconds = (performance.now() - sinceMs) / 1_000
    const cpuPercent = (100 * (cpuSeconds(pid) - cpuBefore)) / seconds
    const raisedAtMs = performance.now()
    limit(pid, before)
    await until('a viewer to be let in', async () => {
      const came = await come()
      inside.add(came.socket)
      return came.outcome === 'answered'
    })
    const servingMs = performance.now() - raisedAtMs
    const of = (outcome: Came['outcome']) => all.filter((it) => it.outcome === outcome)
    const away = of('turned away')
    return {
      struckAtMs,
      times: {
        'turned away': Math.max(...away.map(({ ms }) => ms)),
        'serving again': servingMs,
      },
      figures: {
        'CPU % while shedding': cpuPercent,
        'left hanging': of('left hanging').length,
        'kept viewer refused': keptAnswers.filter((isAnswered) => !isAnswered).length,
      },
      notes: [
        `${open.length} descriptors were open; ${(all.length / seconds).toFixed(0)} came a second: ` +
          `${away.length} turned away, ${of('answered').length} answered`,
        `one that was there before asked ${keptAnswers.length} times`,
        `the admin port ${isAdminThere ? 'answers' : 'turns away too'}`,
      ],
      heal,
    }
  } catch (err) {
    await heal()
    throw err
  }
}

/** Asks for the first media playlist over one connection that stands. */
class KeptViewer implements Disposable {
  readonly #index: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  #playlist: string | undefined

  constructor(index: string) {
    this.#index = index
  }

  /** True where it is answered 200. */
  async asks(): Promise<boolean> {
    if (this.#playlist === undefined) {
      const name = /^[\w-]+\.m3u8$/m.exec((await this.#get(this.#index)) ?? '')?.[0]
      this.#playlist = name && new URL(name, this.#index).href
    }
    return this.#playlist !== undefined && (await this.#get(this.#playlist)) !== undefined
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }

  #get(url: string): Promise<string | undefined> {
    return new Promise((resolve) => {
      const req = get(url, { agent: this.#agent }, async (res) => {
        const pieces = await res.toArray().catch(() => undefined)
        resolve(res.statusCode === 200 ? pieces?.join('') : undefined)
      })
      req.on('error', () => resolve(undefined))
    })
  }
}

/** Stays when it is answered. */
function newViewer(port: number, path: string): Promise<Came> {
  return new Promise((resolve) => {
    const sinceMs = performance.now()
    const socket = connect({ host: '127.0.0.1', port })
    const over = (outcome: Came['outcome']) => {
      clearTimeout(limit)
      if (outcome !== 'answered') socket.destroy()
      resolve({ outcome, ms: performance.now() - sinceMs, socket })
    }
    const limit = setTimeout(() => over('left hanging'), silenceMs)
    socket.on('error', () => over('turned away'))
    socket.on('end', () => over('turned away'))
    socket.once('data', () => over('answered'))
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
  })
}

/** The soft limit alone: that may be raised again. */
function limit(pid: number, files: number): void {
  execFileSync('prlimit', ['--pid', `${pid}`, `--nofile=${files}:`])
}

function limitOf(pid: number): number {
  const limits = readFileSync(`/proc/${pid}/limits`, 'utf8')
  return Number(/^Max open files\s+(\d+)/m.exec(limits)![1])
}

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}
