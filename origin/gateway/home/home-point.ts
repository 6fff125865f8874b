// Whether a resume point is what a home lists: who goes on from it must not contradict what players have seen.
import type { ListedPart, PackagingPoint } from '../../../common/contract/resume-point.ts'
import type { PackagedPart } from '../../../common/live/live-broadcast.ts'
import type { HomePlaylists } from './home-playlists.ts'
import type { HomeTakes } from './home-takes.ts'

/**
 * Each segment that is open there is the last of its playlist, open, with the very same parts, and a number that comes
 * next is not listed yet. What lies before may be anything, gaps of the home's own too.
 */
export function isListed(
  { openTakes = [] }: PackagingPoint,
  takes: HomeTakes,
  playlists: HomePlaylists,
): boolean {
  return openTakes.every(({ plan, tracks, timeline }) => {
    const take = takes.get(plan.name)
    if (!take || take.public.endSeconds !== undefined) return !take && !timeline
    return Object.entries(tracks).every(([name, { state }]) => {
      if (!state) return true
      const last = playlists.get(name)?.segments.at(-1)
      if (!state.segment) return !last || last.number < state.number
      const segment = takes.segment(plan.name, name, state.number)
      if (!segment?.isOpen || segment !== last) return false
      const { parts } = state.segment
      return parts.length === segment.parts.length && parts.every(isPartOf(segment.parts))
    })
  })
}

function isPartOf(there: readonly PackagedPart[]) {
  return ({ id, startTicks, durationTicks, isGap, sizeBytes }: ListedPart, index: number) => {
    const part = there[index]!
    return (
      part.id === id &&
      part.startTicks === startTicks &&
      part.durationTicks === durationTicks &&
      part.isGap === isGap &&
      (part.elsewhereBytes ?? part.bytes.length) === sizeBytes
    )
  }
}
