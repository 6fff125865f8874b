// Strikes one fault time and again, and notes what publisher and viewer saw of each.
import type { SequenceVerdict } from '../../test/support/frame-sequence.ts'
import type { FrameKind } from '../../test/support/numbered-media.ts'
import { TakeoverStage } from '../../test/support/takeover-stage.ts'
import { rounded } from '../support/statistics.ts'
import type { Fault, FaultRun, Strike } from './fault.ts'

/** Listed between the strikes, so that each finds a stream that has settled. */
const settleSegments = 2
const limitMs = 45_000
/** Strikes fall anywhere within a segment. */
const segmentMs = 2_000

export async function runFault(
  fault: Fault,
  runs: number,
  progress: (text: string) => void,
): Promise<FaultRun[]> {
  const done: FaultRun[] = []
  while (done.length < runs) {
    await using stage = await TakeoverStage.start(fault.stage)
    do {
      if (done.length > 0 && !fault.needsOwnStage) await stage.watchAnew()
      const run = await strikeOnce(fault, stage)
      done.push(run)
      progress(`${fault.id} ${done.length}/${runs}: ${lineOf(run)}`)
      // What does not come back by itself gets another stage.
      if (run.nextSegmentMs === undefined) break
    } while (done.length < runs && !fault.needsOwnStage)
  }
  return done
}

async function strikeOnce(fault: Fault, stage: TakeoverStage): Promise<FaultRun> {
  const { publisher } = stage
  const at = new Date().toISOString()
  const problems: string[] = []
  const disconnectsBefore = publisher.disconnects
  let strike: Strike | undefined
  let listedAtMs: number | undefined
  let silenceMs = Number.NaN
  try {
    await stage.segments(settleSegments, limitMs)
    await new Promise((resolve) => setTimeout(resolve, Math.random() * segmentMs))
    strike = await fault.strike(stage)
    const second = strike.alsoSent
    listedAtMs = await stage.mediaSince(strike.struckAtMs, limitMs, second ?? publisher.sent)
    await stage.segments(1, limitMs)
    silenceMs = stage.audit.longestSilenceMs(strike.struckAtMs)
    await strike.heal()
    // A second publisher is gone with the healing.
    if (!second) await stage.segments(1, limitMs)
  } catch (err) {
    problems.push(err instanceof Error ? err.message : String(err))
    await strike?.heal().catch(() => {})
  }
  const sent = [...publisher.sent, ...(strike?.alsoSent ?? [])]
  const report = await stage.audit.stop(sent)
  const tracks = [report.video, report.audio]
  const sum = (pick: (track: (typeof tracks)[number]) => unknown[]) =>
    tracks.reduce((total, track) => total + pick(track).length, 0)
  const most = (values: number[]) => Math.max(0, ...values)
  return {
    fault: fault.id,
    at,
    nextSegmentMs: strike && listedAtMs && listedAtMs - strike.struckAtMs,
    silenceMs,
    disconnects: publisher.disconnects - disconnectsBefore,
    lost: sum(({ lost }) => lost),
    doubled: sum(({ doubled }) => doubled),
    broken: sum(({ disordered, changed }) => [...disordered, ...changed]),
    skipped: most(report.playlists.map(({ skipped }) => skipped.length)),
    gaps: most(report.playlists.map(({ gaps }) => gaps)),
    discontinuities: most(report.playlists.map(({ discontinuities }) => discontinuities)),
    faults: [...problems, ...report.faults],
    traces: [...tracesOf('video', report.video), ...tracesOf('audio', report.audio)],
    times: strike?.times ?? {},
    figures: strike?.figures ?? {},
    notes: strike?.notes ?? [],
  }
}

function tracesOf(kind: FrameKind, verdict: SequenceVerdict): string[] {
  const { lost, doubled, disordered, changed } = verdict
  return Object.entries({ lost, doubled, disordered, changed })
    .filter(([, numbers]) => numbers.length > 0)
    .map(([name, numbers]) => `${kind} ${name}: ${numbers.join(', ')}`)
}

function lineOf(run: FaultRun): string {
  const next = run.nextSegmentMs === undefined ? 'none' : `${Math.round(run.nextSegmentMs)} ms`
  const { disconnects, lost, doubled, discontinuities, faults, traces, figures, notes } = run
  const counted = Object.entries(figures).map(([name, value]) => `${name}: ${rounded(value)}`)
  const all = [...counted, ...notes.slice(0, 10), ...[...traces, ...faults].slice(0, 5)].map(
    (text) => `\n    ${text}`,
  )
  return `next segment ${next}, ${disconnects} disconnects, ${lost} lost, ${doubled} twice, ${discontinuities} discontinuities, ${faults.length} faults${all.join('')}`
}
