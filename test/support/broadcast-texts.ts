// Everything that clients can be told of a live broadcast at one version, for comparing two that should be the same.
import type { Clock } from '../../common/clock.ts'
import type { LiveBroadcast } from '../../common/live/live-broadcast.ts'
import { LiveTexts } from '../../common/live/live-texts.ts'

export class BroadcastTexts {
  readonly #broadcast: LiveBroadcast
  readonly #texts: LiveTexts

  constructor(broadcast: LiveBroadcast, clock: Clock) {
    this.#broadcast = broadcast
    this.#texts = new LiveTexts(broadcast, clock)
  }

  /** By file name; of renditions under any of the names. */
  at(names: readonly string[]): Record<string, string | undefined> {
    const texts = this.#texts
    const all: Record<string, string | undefined> = {
      'index.m3u8': bodyOf(texts.multivariant()),
      'manifest.mpd': bodyOf(texts.mpd('number')),
      'timeline.mpd': bodyOf(texts.mpd('timeline')),
    }
    for (const name of names) {
      all[`${name}.m3u8`] = bodyOf(texts.playlist(name, undefined))
      all[`${name}.m3u8?skip`] = bodyOf(texts.playlist(name, 'YES'))
      all[`${name}-iframes.m3u8`] = bodyOf(texts.iframes(name, undefined))
    }
    return all
  }

  /** What is in memory, byte by byte, and what may be waited for. */
  media(names: readonly string[]): string[] {
    const { takes } = this.#broadcast
    const lines: string[] = []
    for (const take of takes) {
      for (const { name, init } of take.renditions) {
        lines.push(`${take.name}/${name}/init ${init.toString('base64')}`)
      }
    }
    for (const name of names) {
      for (const it of this.#broadcast.playlist(name)?.segments ?? []) {
        const { number, take, rendition, parts, isOpen, isGap } = it
        const path = `${take.name}/${rendition.name}`
        const bytes = parts.map((part) => {
          const found = this.#broadcast.part(take.name, rendition.name, part.id)
          return `${part.id}${found === part ? '' : '?'}:${part.bytes.toString('base64')}`
        })
        lines.push(`${path}/${number} ${isOpen} ${isGap} ${bytes.join()}`)
        for (let ahead = number; ahead < number + 4; ahead++) {
          lines.push(this.#broadcast.expects(take.name, rendition.name, ahead).kind)
        }
      }
      const next = this.#broadcast.playlist(name)?.next
      if (!next) continue
      const { partId, take, rendition } = next
      for (let id = partId - 1; id < partId + 4; id++) {
        lines.push(`${id} ${this.#broadcast.expectsPart(take.name, rendition.name, id).kind}`)
      }
    }
    return lines
  }
}

function bodyOf(answer: { body: unknown } | undefined): string | undefined {
  return answer && String(answer.body)
}
