// Which segments count: by rendition and number, the first valid one wins, and a lower epoch is refused.
//
// It stands behind an interface because the gateway will keep it: there, two transcoders that both believe
// they hold the lease meet.
import { FieldReader, findBox } from '../../media/mp4/boxes.ts'
import type { InitTrack } from '../../media/mp4/init-section.ts'
import { parseMediaSegment } from '../../media/mp4/media-segment.ts'

export interface CommitEntry {
  rendition: string
  number: number
  epoch: number
  take: string
  startTicks: number
  durationTicks: number
  /** 0 for a gap. */
  sizeBytes: number
}

/** `duplicate`: this number is taken already. `fenced`: a higher epoch has committed before. */
export type CommitResult = 'committed' | 'duplicate' | 'fenced'

export interface CommitLog {
  commit(entry: CommitEntry): CommitResult
}

/** Numbers of a rendition that are remembered; what is older has long left every playlist. */
const keptNumbers = 1000

/** For one broadcast, in this process. */
export class MemoryCommitLog implements CommitLog {
  #epoch = 0
  readonly #numbers = new Map<string, Set<number>>()

  commit({ rendition, number, epoch }: CommitEntry): CommitResult {
    if (epoch < this.#epoch) return 'fenced'
    this.#epoch = epoch
    let numbers = this.#numbers.get(rendition)
    if (!numbers) {
      numbers = new Set()
      this.#numbers.set(rendition, numbers)
    }
    if (numbers.has(number)) return 'duplicate'
    numbers.add(number)
    if (numbers.size > keptNumbers) numbers.delete(numbers.values().next().value!)
    return 'committed'
  }
}

export interface CheckedPart {
  startTicks: number
  durationTicks: number
  isGap: boolean
  bytes: Buffer
  elsewhereBytes?: number
}

/** What is wrong with the parts of a segment, as a reader of their boxes finds it. */
export function segmentFault(
  parts: readonly CheckedPart[],
  track: InitTrack,
  frameTicks: number,
): string | undefined {
  let endTicks: number | undefined
  for (const part of parts) {
    // Over a gap nothing continues.
    if (part.isGap) {
      endTicks = undefined
      continue
    }
    if (part.elsewhereBytes !== undefined) {
      endTicks = part.startTicks + part.durationTicks
      continue
    }
    const result = parseMediaSegment(part.bytes, track)
    if (!result.ok) return result.reason
    const decodeTicks = readDecodeTicks(part.bytes)
    if (decodeTicks !== part.startTicks) return 'its boxes tell another time'
    if (endTicks !== undefined && Math.abs(decodeTicks - endTicks) > frameTicks) {
      return `its time jumps by ${decodeTicks - endTicks} ticks`
    }
    endTicks = decodeTicks + result.segment.durationTicks
  }
  return undefined
}

/** Of tfdt, in version 1 as we write it. */
function readDecodeTicks(bytes: Buffer): number | undefined {
  const tfdt = findBox(bytes, ['moof', 'traf', 'tfdt'])
  if (!tfdt) return undefined
  const fields = new FieldReader(bytes, tfdt.bodyStart, tfdt.end)
  fields.skip(4)
  return fields.u64()
}
