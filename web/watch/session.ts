// The life of one watch page as a pure function of what it hears, with the time passed in.
//
// Structure. A session holds the last status of the channel and at most one player. A player is only a
// generation number here: whenever it grows, the page throws its engine away and starts a new one.
// Rules.
//   1. Live and no player: start one. Start is the only way in.
//   2. A player that gave up, or stands still although nobody paused it, is started again: soon when the
//      publisher's media has started anew (takes or broadcast changed), else after a back-off. Soon is not
//      at once: the first segments have to be made, and a player started before them shows old ones again.
//   3. A player that copes by itself is left alone: a new take alone reloads nothing.
//   4. When the show ends or the publisher leaves, what is buffered plays out first.
//   5. A status that cannot be had changes nothing for a picture that moves.
import type { ChannelStatus } from '../../common/contract/channel.ts'

export type StatusAnswer =
  | { kind: 'status'; status: ChannelStatus }
  /** The server says that there is no such channel. */
  | { kind: 'unknown' }
  /** No answer, or one that makes no sense. */
  | { kind: 'failed' }

export type SessionEvent =
  | { type: 'status'; answer: StatusAnswer; at: number }
  /** The picture has moved on. */
  | { type: 'progress'; at: number }
  /** The engine gave up. */
  | { type: 'fatal'; at: number }
  /** The media ended, as a playlist with an end does. */
  | { type: 'ended'; at: number }
  | { type: 'paused'; paused: boolean; at: number }
  | { type: 'tick'; at: number }

export interface Player {
  generation: number
  startedAt: number
  /** When the picture last moved; null before the first one. */
  movedAt: number | null
  /** When the engine gave up, or the media ended. */
  stoppedAt: number | null
  takes: number
  broadcastId: string | null
}

export interface Session {
  status: ChannelStatus | null
  knows: 'nothing' | 'channel' | 'no-such-channel'
  /** Status requests that failed in a row. */
  failures: number
  player: Player | null
  /** Since when the channel is live, as far as the page knows; null while it is not. */
  liveAt: number | null
  /** When the page heard of media that began after the player did. */
  newMediaAt: number | null
  /** Players started so far; the next one gets this number plus one. */
  generations: number
  /** Starts since the picture last moved for a while. */
  attempts: number
  paused: boolean
  /** A show was on while this page was open. */
  sawLive: boolean
}

export const newSession: Session = {
  status: null,
  knows: 'nothing',
  failures: 0,
  player: null,
  liveAt: null,
  newMediaAt: null,
  generations: 0,
  attempts: 0,
  paused: false,
  sawLive: false,
}

/** Standing still for so long, with new media to be had, the player has not coped by itself. */
export const newTakePatienceMs = 4_000
/** How long new media has been announced before a player that stands still, or gave up, is started for it. */
export const newMediaMs = { still: 7_000, stopped: 3_000 }
/** Standing still for so long, it needs help whatever the reason. */
export const stillPatienceMs = 12_000
/** After the end of the show the last picture stays so long before the page says so. */
const farewellMs = 1_500
/** The picture must have moved for so long after a start for the start to count as a success. */
const settledMs = 10_000
const firstBackoffMs = 1_000
const longestBackoffMs = 10_000
/** This many failed status requests, and nothing to see: say so. */
const failuresToTell = 3

export function advance(session: Session, event: SessionEvent): Session {
  return steer(take(session, event), event.at)
}

function take(session: Session, event: SessionEvent): Session {
  switch (event.type) {
    case 'status':
      return takeAnswer(session, event.answer, event.at)
    case 'progress':
      return withPlayer(session, (player) => ({ ...player, movedAt: event.at }))
    case 'fatal':
    case 'ended':
      return withPlayer(session, (player) => ({
        ...player,
        stoppedAt: player.stoppedAt ?? event.at,
      }))
    case 'paused':
      // A pause is not a stand-still: start counting anew when it ends.
      return withPlayer({ ...session, paused: event.paused }, (player) => ({
        ...player,
        startedAt: event.paused ? player.startedAt : event.at,
        movedAt: player.movedAt === null || event.paused ? player.movedAt : event.at,
      }))
    case 'tick':
      return session
  }
}

function takeAnswer(session: Session, answer: StatusAnswer, at: number): Session {
  if (answer.kind === 'failed') return { ...session, failures: session.failures + 1 }
  if (answer.kind === 'unknown') {
    return { ...session, status: null, knows: 'no-such-channel', failures: 0 }
  }
  const { status } = answer
  const { player } = session
  const isNew =
    player !== null &&
    status.state === 'live' &&
    (status.takes !== player.takes || status.broadcastId !== player.broadcastId)
  return {
    ...session,
    status,
    knows: 'channel',
    failures: 0,
    liveAt: status.state === 'live' ? (session.liveAt ?? at) : null,
    newMediaAt: isNew ? (session.newMediaAt ?? at) : null,
    sawLive: session.sawLive || status.state !== 'offline',
  }
}

function withPlayer(session: Session, change: (player: Player) => Player): Session {
  return session.player ? { ...session, player: change(session.player) } : session
}

function steer(session: Session, at: number): Session {
  const { player, status } = session
  const isLive = status?.state === 'live'
  if (!player) return isLive ? start(session, at) : session

  const still = stillForMs(session, at)
  if (!isLive) {
    // `held` keeps the last picture on stage: most encoders are back within seconds.
    const isShowOver = status?.state === 'offline' || session.knows === 'no-such-channel'
    const hasPlayedOut =
      player.stoppedAt === null ? still > newTakePatienceMs : at - player.stoppedAt >= farewellMs
    if (isShowOver && hasPlayedOut) {
      return { ...session, player: null, attempts: 0 }
    }
    return session
  }

  if (session.newMediaAt !== null) {
    const announcedMs = at - session.newMediaAt
    const hasStopped = player.stoppedAt !== null
    const isTime = hasStopped
      ? announcedMs >= newMediaMs.stopped
      : announcedMs >= newMediaMs.still && still >= newTakePatienceMs
    return isTime ? start({ ...session, attempts: 0 }, at) : session
  }
  if (player.stoppedAt !== null) {
    return at - player.stoppedAt >= backoffMs(session.attempts) ? start(session, at) : session
  }
  const helplessMs = Math.min(still, at - (session.liveAt ?? at))
  if (helplessMs >= Math.max(stillPatienceMs, backoffMs(session.attempts))) {
    return start(session, at)
  }
  const isSettled = player.movedAt !== null && player.movedAt - player.startedAt >= settledMs
  return isSettled && session.attempts > 1 ? { ...session, attempts: 1 } : session
}

function start(session: Session, at: number): Session {
  const generation = session.generations + 1
  return {
    ...session,
    generations: generation,
    attempts: session.attempts + 1,
    paused: false,
    newMediaAt: null,
    player: {
      generation,
      startedAt: at,
      movedAt: null,
      stoppedAt: null,
      takes: session.status?.takes ?? 0,
      broadcastId: session.status?.broadcastId ?? null,
    },
  }
}

/** 1, 2, 4, 8, 10 s. */
function backoffMs(attempts: number): number {
  return Math.min(longestBackoffMs, firstBackoffMs * 2 ** Math.max(0, attempts - 1))
}

function stillForMs(session: Session, at: number): number {
  const { player, paused } = session
  if (!player || paused) return 0
  return at - Math.max(player.movedAt ?? 0, player.startedAt)
}

/** What the stage shows. */
export type Scene =
  | 'asking'
  | 'starting'
  | 'playing'
  /** The picture stands still and should not. */
  | 'catching-up'
  /** The publisher is away and may be back. */
  | 'waiting'
  | 'offline'
  | 'ended'
  | 'no-such-channel'
  | 'unreachable'

const visiblyStillMs = 1_200

export function sceneOf(session: Session, at: number): Scene {
  const { player, status } = session
  if (player) {
    const moves =
      player.stoppedAt === null &&
      player.movedAt !== null &&
      stillForMs(session, at) < visiblyStillMs
    if (moves || session.paused) return 'playing'
    if (status?.state === 'held') return 'waiting'
    if (session.failures >= failuresToTell) return 'unreachable'
    return player.movedAt === null ? 'starting' : 'catching-up'
  }
  if (session.knows === 'no-such-channel') return 'no-such-channel'
  if (session.failures >= failuresToTell) return 'unreachable'
  if (!status) return 'asking'
  if (status.state === 'held') return 'waiting'
  if (status.state === 'live') return 'starting'
  return session.sawLive ? 'ended' : 'offline'
}
