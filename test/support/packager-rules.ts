// What holds for everything that a packager lists, whatever media it was given.
import type { PackagedPart, PackagedSegment } from '../../common/live/live-broadcast.ts'
import { type PackagerRig, secondsOf, startOf } from './packager-rig.ts'

export interface RuleOptions {
  /** The longest sample of a track, in seconds. */
  frameSeconds: Readonly<Record<string, number>>
  /** Where frames come unevenly a part may be closed early. */
  hasEvenFrames?: boolean
  allowedFault?: RegExp
}

/** Every breach of a rule, in words. */
export function ruleBreaches(rig: PackagerRig, options: RuleOptions): string[] {
  const { packager } = rig
  const breaches = rig.faults.filter((it) => !options.allowedFault?.test(it))
  breaches.push(...numberBreaches(rig))
  const settings = packager.settings
  if (!settings) return breaches
  for (const name of packager.playlistNames) {
    const segments = packager.playlist(name)?.segments ?? []
    const frame = options.frameSeconds[name]!
    const say = (segment: PackagedSegment, text: string) =>
      breaches.push(`${name} ${segment.number} at ${startOf(segment).toFixed(3)} s: ${text}`)
    for (const [index, segment] of segments.entries()) {
      const before = segments[index - 1]
      if (before?.isOpen) say(before, 'open, and not the last')
      if (segment.isOpen && (segment.isGap || segment.parts.length === 0)) say(segment, 'empty')
      if (segment.isGap && segment.parts.length > 0) say(segment, 'gap with parts')
      if (Math.round(secondsOf(segment)) > settings.targetDurationSeconds) {
        say(segment, `lasts ${secondsOf(segment)} s`)
      }
      if (before) {
        const seam = startOf(segment) - startOf(before) - secondsOf(before)
        // Where a take ends, the tracks of a publisher need not end together.
        const allowed = before.take === segment.take ? 1.5 * frame + 0.05 : 0.12
        if (Math.abs(seam) > allowed) say(segment, `seam of ${seam.toFixed(4)} s`)
        if (before.take !== segment.take && segment.number !== segment.take.firstNumber) {
          say(segment, 'take begins with another number')
        }
      }
      const { take } = segment
      const isMedia = take.endSeconds === undefined || startOf(segment) < take.endSeconds - 0.1
      if (take.isRegular && isMedia) {
        const grid =
          take.startSeconds + (segment.number - take.firstNumber) * settings.segmentSeconds
        if (Math.abs(startOf(segment) - grid) > settings.segmentSeconds / 4 + frame) {
          say(segment, `off its grid by ${startOf(segment) - grid} s`)
        }
      }
      breaches.push(...partBreaches(segment, before, rig, options, say))
    }
  }
  breaches.push(...skews(rig, options), ...byteBreaches(rig))
  return breaches
}

function partBreaches(
  segment: PackagedSegment,
  before: PackagedSegment | undefined,
  { packager }: PackagerRig,
  { hasEvenFrames = true }: RuleOptions,
  say: (segment: PackagedSegment, text: string) => void,
): string[] {
  const { partTargetSeconds } = packager.settings!
  const { timescale, kind } = segment.rendition
  const seconds = (part: PackagedPart) => part.durationTicks / timescale
  let sum = 0
  for (const [index, part] of segment.parts.entries()) {
    sum += part.durationTicks
    if (seconds(part) > partTargetSeconds + 1e-9) say(segment, `part ${part.id} is too long`)
    const next = segment.parts[index + 1]
    if (next && next.id !== part.id + 1) say(segment, `part ${next.id} after ${part.id}`)
    const isFree = part.isGap || next === undefined || next.isGap || !hasEvenFrames
    const isKey = kind === 'video' && part.isIndependent
    if (!isFree && !isKey && seconds(part) < 0.85 * partTargetSeconds - 1e-9) {
      say(segment, `part ${part.id} lasts ${seconds(part)} s of ${partTargetSeconds} s`)
    }
    const hasNone = part.isGap || part.elsewhereBytes !== undefined
    if (hasNone !== (part.bytes.length === 0)) say(segment, 'gap part with bytes')
  }
  const media = segment.parts.find((it) => !it.isGap)
  if (media && !media.isIndependent) say(segment, 'does not begin with a keyframe')
  if (!segment.isGap && sum !== segment.durationTicks) say(segment, 'is not the sum of its parts')
  const last = before?.parts.at(-1)
  const first = segment.parts[0]
  if (first && last && before!.rendition.name === segment.rendition.name) {
    if (first.id !== last.id + 1) say(segment, `part ${first.id} after ${last.id}`)
  }
  return []
}

/** Numbers step by one in every playlist, so that none comes twice. */
export function numberBreaches({ packager }: PackagerRig): string[] {
  return packager.playlistNames.flatMap((name) => {
    const segments = packager.playlist(name)?.segments ?? []
    return segments.flatMap(({ number }, index) => {
      const before = segments[index - 1]?.number
      return before === undefined || number === before + 1
        ? []
        : [`${name}: ${number} after ${before}`]
    })
  })
}

/** The same number is the same time in all renditions. */
function skews(
  { packager }: PackagerRig,
  { frameSeconds, hasEvenFrames = true }: RuleOptions,
): string[] {
  const breaches: string[] = []
  const [leader, ...others] = packager.playlistNames.map((it) => packager.playlist(it)!.segments)
  for (const segment of leader ?? []) {
    for (const list of others) {
      const twin = list.find((it) => it.number === segment.number)
      if (!twin) continue
      const skew = Math.abs(startOf(twin) - startOf(segment))
      const frame = Math.max(
        ...[twin, segment].map((it) => frameSeconds[it.rendition.name] ?? 0.05),
      )
      const isMedia = !twin.isGap && !segment.isGap && twin.number > twin.take.firstNumber
      if (twin.take !== segment.take) breaches.push(`${segment.number} belongs to two takes`)
      // A hole too small for a gap moves the first sample after it.
      const allowed = hasEvenFrames ? frame + 0.002 : 2.5 * frame + 0.05
      if (isMedia && skew > allowed) {
        breaches.push(`${segment.number} is ${skew.toFixed(4)} s apart in ${twin.rendition.name}`)
      }
    }
  }
  return breaches
}

function byteBreaches({ committed }: PackagerRig): string[] {
  return committed.flatMap(({ segment, bytes }) => {
    const parts = Buffer.concat(segment.parts.map((it) => it.bytes))
    const elsewhere = segment.parts.reduce((sum, it) => sum + (it.elsewhereBytes ?? 0), 0)
    const isSame = parts.equals(bytes) && segment.sizeBytes === bytes.length + elsewhere
    return isSame && !segment.isOpen ? [] : [`${segment.number} is not what its parts are`]
  })
}
