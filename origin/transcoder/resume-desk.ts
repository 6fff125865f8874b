// Takes in where other transcoders have left broadcasts, from the gateways that are about to publish them here:
// `POST /internal/v1/broadcasts/{liveId}/resume-point?epoch=E`.
import type { IncomingMessage } from 'node:http'
import type { Clock, Timer } from '../../common/clock.ts'
import { type ResumePoint, resumePointSchema } from '../../common/contract/resume-point.ts'
import { readJsonBody } from './json-body.ts'

export interface ResumeTarget {
  liveId: string
  epoch: number
}

/** Longer than any publish takes to follow. */
const keptMs = 30_000
const maxBytes = 4 * 1024 * 1024

const grammar =
  /^\/internal\/v1\/broadcasts\/([a-z0-9][a-z0-9_-]{0,62})\/resume-point\?epoch=([1-9]\d{0,14})$/

export function parseResumeTarget(target: string): ResumeTarget | undefined {
  const match = grammar.exec(target)
  return match ? { liveId: match[1]!, epoch: Number(match[2]) } : undefined
}

export class ResumeDesk implements Disposable {
  readonly #clock: Clock
  readonly #points = new Map<string, { epoch: number; point: ResumePoint; timer: Timer }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Of one who has been let in. Answers whether it can be read. */
  async receive({ liveId, epoch }: ResumeTarget, request: IncomingMessage): Promise<boolean> {
    const point = await readJsonBody(request, resumePointSchema, maxBytes)
    if (!point) return false
    this.#forget(liveId)
    const timer = this.#clock.setTimeout(() => this.#forget(liveId), keptMs)
    this.#points.set(liveId, { epoch, point, timer })
    return true
  }

  /** Where that connection's broadcast was left, for the epoch that goes on with it. */
  take(liveId: string, epoch: number, connection: string): ResumePoint | undefined {
    const kept = this.#points.get(liveId)
    if (kept?.epoch !== epoch) return undefined
    this.#forget(liveId)
    return kept.point.connection === connection ? kept.point : undefined
  }

  [Symbol.dispose](): void {
    for (const liveId of [...this.#points.keys()]) this.#forget(liveId)
  }

  #forget(liveId: string): void {
    this.#points.get(liveId)?.timer.cancel()
    this.#points.delete(liveId)
  }
}
