// A scripted broadcast from its first part to its end, with everything that can happen in one.
import { ScriptedBroadcast } from './scripted-broadcast.ts'
import { audioRendition, standardRenditions, videoRendition } from './segment-logs.ts'

/** Looks after each change. */
export function show(look: (broadcast: ScriptedBroadcast) => void): void {
  const broadcast = new ScriptedBroadcast({ settings: { windowSegments: 16 } })
  broadcast.onChange(() => look(broadcast))
  broadcast.beginTake()
  broadcast.addSegments(5)
  broadcast.addParts(2)
  for (const { name } of standardRenditions) {
    broadcast.addPart(name, { isGap: true })
    broadcast.addPart(name, { seconds: 0.1 })
    broadcast.closeSegment(name)
  }
  broadcast.addGaps(2)
  broadcast.beginTake({ startSeconds: 40, renditions: [videoRendition(480), audioRendition] })
  broadcast.addSegments(8)
  broadcast.beginTake({ isComplete: false })
  broadcast.addParts(3)
  broadcast.completeTake()
  broadcast.closeSegments()
  broadcast.addSegments(9)
  broadcast.addParts(1)
  broadcast.end()
}
